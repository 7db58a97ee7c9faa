// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/inputfile"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
	"github.com/amibakery/packer-plugin-bakery/internal/userdata"
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
	// A file of user data that you wrote for cloud-init: a script, a cloud-config, a boothook, MIME multipart or a
	// cloud-config-archive, plain, gzip'd or in base64. Unless `verdict` is `"stop"`, `packer validate` checks it as it
	// checks an Image-Source, with the file and line of each mistake: what cloud-init would drop, such as a part that
	// is not YAML, an unknown key or a part of an unknown type, is an error. Scripts and the items of `runcmd` are
	// steps of the bake, which fails if one fails. Templates of jinja, `#include`, part handlers, JSON patches and
	// scripts for each boot, instance or once cannot be checked: cloud-init gets them unchanged, with a warning.
	// Conflicts with `image_source`, `bundle` and `user_data`.
	UserDataFile string `mapstructure:"user_data_file"`
	// User data as text, checked and treated as the contents of `user_data_file`. As with amazon-ebs, it is a template
	// of Packer's, in which `{{timestamp}}` means something; unlike there, text that begins with `## template: jinja`
	// is cloud-init's and left as it is. Conflicts with `image_source`, `bundle` and `user_data_file`.
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
func (c *InputConfig) check(opaque bool, ignored []string) ([]string, []error) {
	var errs []error
	if err := c.checkOne(); err != nil {
		errs = append(errs, err)
	}
	if c.FSInlineLimit < 0 || c.FSInlineLimit > guest.MaxUserData {
		errs = append(errs, fmt.Errorf("fs_inline_limit is %d; it must be between 0 and %d, which is all EC2 takes",
			c.FSInlineLimit, guest.MaxUserData))
	}
	for _, check := range []func(bool) error{c.checkBundle, c.checkSettings} {
		if err := check(opaque); err != nil {
			errs = append(errs, err)
		}
	}
	warnings, sourceErrs := c.checkImageSource(ignored)
	written, writtenErrs := c.checkUserData(opaque, ignored)
	return append(warnings, written...), slices.Concat(errs, writtenErrs, sourceErrs)
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

// checkUserData checks user data that somebody wrote. opaque says that it is launched as it is.
func (c *InputConfig) checkUserData(opaque bool, ignored []string) ([]string, []error) {
	if !setting.Known(c.UserDataFile) && !setting.Known(c.UserData) {
		return nil, nil
	}
	name, content, err := c.writtenUserData()
	if err != nil {
		return nil, []error{err}
	}
	if opaque {
		return nil, nil
	}
	_, warnings, err := readProgram(name, content, ignored)
	if err != nil {
		return warnings, []error{err}
	}
	return warnings, nil
}

// writtenUserData returns the user data that somebody wrote, and its name in messages.
func (c *InputConfig) writtenUserData() (name string, content []byte, err error) {
	if !setting.Known(c.UserDataFile) {
		return "user_data", []byte(c.UserData), nil
	}
	content, err = inputfile.Read(c.UserDataFile, userdata.MaxSize)
	if _, ok := errors.AsType[*inputfile.KindError](err); ok {
		return "", nil, fmt.Errorf("user_data_file: %s is not a file; a directory is given as image_source or bundle",
			c.UserDataFile)
	}
	if err != nil {
		return "", nil, fmt.Errorf("user_data_file: %s: %w", c.UserDataFile, err)
	}
	return c.UserDataFile, content, nil
}

// readProgram checks user data that somebody wrote; ignored is ignore_failures. It returns the program of the machine
// and warnings, and all problems in one error.
func readProgram(name string, content []byte, ignored []string) (guest.Program, []string, error) {
	program, problems := userdata.Parse(name, content, ignored)
	var warnings []string
	for _, p := range problems.Warnings() {
		warnings = append(warnings, p.String())
	}
	if err := problems.Err(); err != nil {
		return program, warnings, fmt.Errorf("check the user data (verdict = %q launches it as it is):\n%w",
			setting.VerdictStop, err)
	}
	return program, warnings, nil
}

func (c *InputConfig) checkImageSource(ignored []string) ([]string, []error) {
	if !setting.Known(c.ImageSource) {
		return nil, nil
	}
	var warnings []string
	var errs []error
	problems := bundle.Check(c.bundleOptions("", ignored))
	for _, p := range problems.Warnings() {
		warnings = append(warnings, p.String())
	}
	if err := problems.Errors().Err(); err != nil {
		errs = append(errs, err)
	}
	return warnings, errs
}

// bundleOptions says how to compile the Image-Source into the directory target; ignored is ignore_failures.
func (c *InputConfig) bundleOptions(target string, ignored []string) bundle.Options {
	return bundle.Options{
		Source: c.ImageSource, Target: target,
		InlineLimit: c.FSInlineLimit, Env: c.CompileEnv, Strict: c.Strict, Ignored: ignored,
	}
}
