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
	"strings"

	"github.com/hashicorp/packer-plugin-sdk/common"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
	"github.com/hashicorp/packer-plugin-sdk/template/interpolate"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// Config says which Image-Source to apply, and how.
type Config struct {
	common.PackerConfig `mapstructure:",squash"`

	// The directory of the Image-Source: `cloudinit/`, `fs/`, `script/compile.sh`, `script/install.sh`, `ami.env` and
	// `readme.md`. A relative path is relative to where Packer runs; `${path.root}/image` is beside the template. It is
	// checked when the template is validated, and compiled when it is built.
	Source string `mapstructure:"source" required:"true"`
	// Variables for the environment of `script/compile.sh`, besides those Packer itself runs with. Their values are
	// kept out of Packer's log. Default: none.
	CompileEnv map[string]string `mapstructure:"compile_env"`
	// Treat warnings about the Image-Source, such as an unknown key of a cloud-config, as errors. Default: `false`.
	Strict bool `mapstructure:"strict"`
	// Up to this many bytes of compressed `fs/` travel inside the user data when the builder is `bakery-userdata`; what
	// is larger is staged. Over a connection everything travels the same way, and this is not used. At most `16384`.
	// Default: `8192`.
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

// unknown is what Packer passes in place of a text that is not known while a template is only validated.
const unknown = "<unknown>"

// builderType is the builder that makes user data of everything, and connects to no machine.
const builderType = "bakery-userdata"

// prepare decodes the settings, fills in what is not set, and checks what can be checked.
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
	return errors.Join(c.checkSource(), c.checkInlineLimit(), c.checkExecuteCommand(), c.checkRemoteFolder())
}

func (c *Config) checkSource() error {
	switch {
	case c.Source == "":
		return errors.New("source is missing: set it to the directory of an Image-Source")
	case isUnknown(c.Source):
		return nil // checked before it is compiled
	}
	o := c.options("")
	o.Env = map[string]string{}
	for name, value := range c.CompileEnv {
		if !isUnknown(name) && !isUnknown(value) {
			o.Env[name] = value
		}
	}
	problems := bundle.Check(o)
	for _, p := range problems.Warnings() { // while it is validated, a provisioner has no other place to say them
		log.Printf("[WARN] %s", p)
	}
	return problems.Err()
}

func (c *Config) checkInlineLimit() error {
	if c.FSInlineLimit < 0 || c.FSInlineLimit > guest.MaxUserData {
		return fmt.Errorf("fs_inline_limit is %d; it must be between 0 and %d, which is all EC2 takes", c.FSInlineLimit, guest.MaxUserData)
	}
	return nil
}

func (c *Config) checkExecuteCommand() error {
	if c.ExecuteCommand == "" || isUnknown(c.ExecuteCommand) {
		return nil
	}
	const command = "sh /tmp/bakery.sh"
	rendered, err := c.execute(nil, command)
	if err != nil {
		return err
	}
	if !strings.Contains(rendered, command) {
		return fmt.Errorf("execute_command %q does not run anything: put {{ .Command }} where the command belongs", c.ExecuteCommand)
	}
	return nil
}

// folderPattern is a path that is one word to every shell, however often it is read again.
var folderPattern = regexp.MustCompile(`^/[A-Za-z0-9_./+@%=:,-]*$`)

func (c *Config) checkRemoteFolder() error {
	if !folderPattern.MatchString(c.RemoteFolder) && !isUnknown(c.RemoteFolder) {
		return fmt.Errorf("remote_folder %q is not an absolute path without blanks and quotes, such as /tmp", c.RemoteFolder)
	}
	return nil
}

// execute renders execute_command; data is what builders generate.
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

// options say how to compile the Image-Source into the directory target.
func (c *Config) options(target string) bundle.Options {
	return bundle.Options{
		Source: c.Source, Target: target, InlineLimit: c.FSInlineLimit, Env: c.CompileEnv, Strict: c.Strict,
	}
}

// join is what the builder bakery-userdata is asked to compile, by an absolute path: it may run elsewhere.
func (c *Config) join() (bundle.Join, error) {
	source, err := filepath.Abs(c.Source)
	if err != nil {
		return bundle.Join{}, fmt.Errorf("find source: %w", err)
	}
	return bundle.Join{Source: source, CompileEnv: c.CompileEnv, Strict: c.Strict, FSInlineLimit: c.FSInlineLimit}, nil
}

// secrets are the values to keep out of the log. Shorter ones are no secrets, but parts of words.
func (c *Config) secrets() []string {
	const least = 4
	var secrets []string
	for _, value := range c.CompileEnv {
		if len(value) >= least {
			secrets = append(secrets, value)
		}
	}
	return secrets
}

// isUnknown finds the placeholder in a text that was made with one, too.
func isUnknown(value string) bool { return strings.Contains(value, unknown) }
