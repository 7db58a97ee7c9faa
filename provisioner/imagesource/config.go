// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:generate go tool -modfile=../../tools/go.mod packer-sdc struct-markdown
//go:generate go tool -modfile=../../tools/go.mod packer-sdc mapstructure-to-hcl2 -type Config

package imagesource

import (
	"cmp"
	"errors"
	"fmt"
	"log"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/packer-plugin-sdk/common"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/placeholder"
)

// Config are the settings of the provisioner.
type Config struct {
	common.PackerConfig `mapstructure:",squash"`

	// The directory of the Image-Source: `cloudinit/`, `fs/`, `script/compile.sh`, `script/install.sh`, `ami.env` and
	// `readme.md`. A relative path is relative to where Packer runs; `${path.root}/image` is beside the template. It is
	// checked when the template is validated, and compiled when it is built.
	Source string `mapstructure:"source" required:"true"`
	// Environment variables for `script/compile.sh`, added to those that Packer itself runs with. A value of four or
	// more characters is shown as `<sensitive>`, also in Packer's log. Default: none.
	CompileEnv map[string]string `mapstructure:"compile_env"`
	// Treat warnings about the Image-Source, such as an unknown key of a cloud-config, as errors. Default: `false`.
	Strict bool `mapstructure:"strict"`
	// Failures of cloud-init that are warnings instead of failing the build: top-level keys of a cloud-config, such as
	// `"packages"` or `"keyboard"`, `"boothooks"`, or `"unknown_keys"` for all keys that nothing on the machine reads.
	// Default: none. Not used when the builder is `bakery-userdata`, which has an `ignore_failures` of its own. For
	// example, where cloud-init may be too old to know the keyboard's layout:
	// ```hcl
	// ignore_failures = ["keyboard"]
	// ```
	IgnoreFailures []string `mapstructure:"ignore_failures"`
	// Up to this many bytes of compressed `fs/` are put into the user data when the builder is `bakery-userdata`; a
	// larger one is staged. With other builders, everything is uploaded over the connection, and this is not used. At
	// most `16384`. Default: `8192`.
	FSInlineLimit int64 `mapstructure:"fs_inline_limit"`
	// How the login user runs a command as root: a template in which `{{ .Command }}` stands for the command, such as
	// `doas -n {{ .Command }}`. The command has no quotes in it. Default: `{{ .Command }}` when the login user is root,
	// else `sudo -n {{ .Command }}`. Not used when the builder is `bakery-userdata`.
	ExecuteCommand string `mapstructure:"execute_command"`
	// The directory on the machine that the payload is uploaded to: an absolute path without blanks and quotes, where
	// the login user may write, with room for the compressed `fs/`. Default: `/tmp`. Set `/var/tmp` where
	// `/tmp` is in memory and too small. Not used when the builder is `bakery-userdata`.
	RemoteFolder string `mapstructure:"remote_folder"`

	ctx interpolate.Context
}

// builderType is the builder that puts everything into user data and connects to no machine.
const builderType = "bakery-userdata"

// prepare decodes the settings, sets the defaults, and checks what is known.
func (c *Config) prepare(raws ...any) error {
	err := config.Decode(c, &config.DecodeOpts{
		PluginType:         "bakery-image-source",
		Interpolate:        true,
		InterpolateContext: &c.ctx,
		InterpolateFilter:  &interpolate.RenderFilter{Exclude: []string{"execute_command"}},
	}, raws...)
	if err != nil {
		return err
	}
	c.RemoteFolder = cmp.Or(strings.TrimRight(c.RemoteFolder, "/"), "/tmp")
	known := slices.DeleteFunc(slices.Clone(c.IgnoreFailures), placeholder.In)
	return errors.Join(append(guest.CheckIgnored(known), c.checkSource(), c.checkInlineLimit(), c.checkExecuteCommand(),
		c.checkRemoteFolder())...)
}

func (c *Config) checkSource() error {
	switch {
	case c.Source == "":
		return errors.New("source is missing: set it to the directory of an Image-Source")
	case placeholder.In(c.Source):
		return nil // checked before it is compiled
	}
	o := c.options("")
	o.Env = map[string]string{}
	for name, value := range c.CompileEnv {
		if !placeholder.In(name) && !placeholder.In(value) {
			o.Env[name] = value
		}
	}
	problems := bundle.Check(o)
	for _, p := range problems.Warnings() { // a provisioner has no Ui yet
		log.Printf("[WARN] %s", p)
	}
	return problems.Err()
}

func (c *Config) checkInlineLimit() error {
	if c.FSInlineLimit < 0 || c.FSInlineLimit > guest.MaxUserData {
		return fmt.Errorf("fs_inline_limit is %d; it must be between 0 and %d, which is all EC2 takes", c.FSInlineLimit,
			guest.MaxUserData)
	}
	return nil
}

func (c *Config) checkExecuteCommand() error {
	if c.ExecuteCommand == "" || placeholder.In(c.ExecuteCommand) {
		return nil
	}
	const command = "sh /tmp/bakery.sh"
	rendered, err := c.execute(nil, command)
	if err != nil {
		return err
	}
	if !strings.Contains(rendered, command) {
		return fmt.Errorf("execute_command %q does not run anything: put {{ .Command }} where the command belongs",
			c.ExecuteCommand)
	}
	return nil
}

// folderPattern matches a path that is one word for every shell, however often a shell parses it.
var folderPattern = regexp.MustCompile(`^/[A-Za-z0-9_./+@%=:,-]*$`)

func (c *Config) checkRemoteFolder() error {
	if !folderPattern.MatchString(c.RemoteFolder) && !placeholder.In(c.RemoteFolder) {
		return fmt.Errorf("remote_folder %q is not an absolute path without blanks and quotes, such as /tmp",
			c.RemoteFolder)
	}
	return nil
}

// execute renders execute_command; data are the values that the builder generates.
func (c *Config) execute(data map[string]any, command string) (string, error) {
	all := map[string]any{"Command": command}
	for name, value := range data {
		if name != "Command" {
			all[name] = value
		}
	}
	ctx := c.ctx
	ctx.Data = all
	rendered, err := interpolate.Render(c.ExecuteCommand, &ctx)
	if err != nil {
		return "", fmt.Errorf("render execute_command: %w", err)
	}
	return rendered, nil
}

// options returns the options to compile the Image-Source into the directory target.
func (c *Config) options(target string) bundle.Options {
	return bundle.Options{
		Source: c.Source, Target: target, InlineLimit: c.FSInlineLimit, Env: c.CompileEnv, Strict: c.Strict,
		Ignored: c.IgnoreFailures,
	}
}

// join returns what the builder bakery-userdata has to compile. Its path is absolute, because the builder may run in
// another directory.
func (c *Config) join() (bundle.Join, error) {
	source, err := filepath.Abs(c.Source)
	if err != nil {
		return bundle.Join{}, fmt.Errorf("find source: %w", err)
	}
	return bundle.Join{Source: source, CompileEnv: c.CompileEnv, Strict: c.Strict, FSInlineLimit: c.FSInlineLimit}, nil
}
