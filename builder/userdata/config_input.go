// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// InputConfig says what the machine is told to do, beside the template's provisioners. One of `image_source`, `bundle`,
// `user_data_file` and `user_data` can be given, or none: then the provisioners are all that happens.
type InputConfig struct {
	// The directory of an Image-Source. It is checked when the template is validated and compiled when it is built;
	// what compiling leaves is removed afterwards. Conflicts with `bundle`, `user_data_file` and `user_data`.
	ImageSource string `mapstructure:"image_source"`
	// The directory of a bundle: an Image-Source that the `bakery-image-source` data source has compiled, perhaps
	// on another machine. Conflicts with `image_source`, `user_data_file` and `user_data`.
	Bundle string `mapstructure:"bundle"`
	// A file of user data that was written by hand: a script, a cloud-config, a MIME archive, plain or gzip'd. It
	// is wrapped so that it reports how it went and powers off, unless `verdict` is `"stop"`. Conflicts with
	// `image_source`, `bundle` and `user_data`.
	UserDataFile string `mapstructure:"user_data_file"`
	// User data as text, treated as the contents of `user_data_file`. As with amazon-ebs, it is a template of Packer's,
	// in which `{{timestamp}}` means something; unlike there, text that begins with `## template: jinja` is
	// cloud-init's and left as it is. Conflicts with `image_source`, `bundle` and `user_data_file`.
	UserData string `mapstructure:"user_data"`

	// Up to this many bytes of compressed `fs/` travel inside the user data, and up to this many of what provisioners
	// recorded; what is larger is staged. Default: `8192`; at most `16384`. The `fs/` of a `bundle` is as it was
	// compiled.
	FSInlineLimit int64 `mapstructure:"fs_inline_limit"`
	// Variables for the environment of `script/compile.sh`. Used with `image_source` only.
	CompileEnv map[string]string `mapstructure:"compile_env"`
	// Treat warnings about the Image-Source as errors. Default: `false`. Used with `image_source` only.
	Strict bool `mapstructure:"strict"`
}

// check returns warnings, and what is wrong with the settings. opaque says that user data is launched as it is.
func (c *InputConfig) check(opaque bool) ([]string, []error) {
	var errs []error
	if err := c.checkOne(); err != nil {
		errs = append(errs, err)
	}
	if c.FSInlineLimit < 0 || c.FSInlineLimit > guest.MaxUserData {
		errs = append(errs, fmt.Errorf("fs_inline_limit is %d; it must be between 0 and %d, which is all EC2 takes",
			c.FSInlineLimit, guest.MaxUserData))
	}
	for _, check := range []func(bool) error{c.checkBundle, c.checkUserDataFile, c.checkUserData, c.checkSettings} {
		if err := check(opaque); err != nil {
			errs = append(errs, err)
		}
	}
	warnings, sourceErrs := c.checkImageSource()
	return warnings, append(errs, sourceErrs...)
}

// checkOne counts the ways user data is given. One that is not known yet counts as given.
func (c *InputConfig) checkOne() error {
	given := 0
	for _, value := range []string{c.ImageSource, c.Bundle, c.UserDataFile, c.UserData} {
		if value != "" {
			given++
		}
	}
	if given > 1 {
		return errors.New("image_source, bundle, user_data_file and user_data exclude each other: keep one of them")
	}
	return nil
}

// isSet reports whether anything but provisioners says what the machine does.
func (c *InputConfig) isSet() bool {
	return c.ImageSource != "" || c.Bundle != "" || c.UserDataFile != "" || c.UserData != ""
}

// checkSettings refuses what would silently have no effect.
func (c *InputConfig) checkSettings(opaque bool) error {
	if c.ImageSource == "" && (len(c.CompileEnv) > 0 || c.Strict) {
		return errors.New("compile_env and strict say how image_source is compiled; without it, remove them")
	}
	if opaque && c.UserData == "" && c.UserDataFile == "" {
		return fmt.Errorf("verdict = %q is for user_data_file and user_data only: what is compiled reports by itself",
			setting.VerdictStop)
	}
	return nil
}

func (c *InputConfig) checkBundle(bool) error {
	if !setting.Known(c.Bundle) {
		return nil
	}
	if _, err := os.Stat(filepath.Join(c.Bundle, bundle.UserDataName)); err != nil {
		return fmt.Errorf("bundle: read what bakery-image-source left there: %w", err)
	}
	return nil
}

func (c *InputConfig) checkUserDataFile(opaque bool) error {
	if !setting.Known(c.UserDataFile) {
		return nil
	}
	info, err := os.Stat(c.UserDataFile)
	if err != nil {
		return fmt.Errorf("user_data_file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("user_data_file: %s is not a file; a directory is given as image_source or bundle",
			c.UserDataFile)
	}
	content, err := os.ReadFile(c.UserDataFile)
	if err != nil {
		return fmt.Errorf("user_data_file: %w", err)
	}
	return checkWrap("user_data_file", content, opaque)
}

func (c *InputConfig) checkUserData(opaque bool) error {
	if !setting.Known(c.UserData) {
		return nil
	}
	return checkWrap("user_data", []byte(c.UserData), opaque)
}

// checkWrap refuses user data that cannot be made to report.
func checkWrap(name string, content []byte, opaque bool) error {
	if opaque {
		return nil
	}
	if _, err := guest.Wrap(content); err != nil {
		return fmt.Errorf("%s: %w; verdict = %q launches it as it is", name, err, setting.VerdictStop)
	}
	return nil
}

func (c *InputConfig) checkImageSource() ([]string, []error) {
	if !setting.Known(c.ImageSource) {
		return nil, nil
	}
	var warnings []string
	var errs []error
	problems := bundle.Check(c.bundleOptions(""))
	for _, p := range problems.Warnings() {
		warnings = append(warnings, p.String())
	}
	if err := problems.Errors().Err(); err != nil {
		errs = append(errs, err)
	}
	return warnings, errs
}

// bundleOptions says how to compile the Image-Source into the directory target.
func (c *InputConfig) bundleOptions(target string) bundle.Options {
	return bundle.Options{
		Source: c.ImageSource, Target: target,
		InlineLimit: c.FSInlineLimit, Env: c.CompileEnv, Strict: c.Strict,
	}
}
