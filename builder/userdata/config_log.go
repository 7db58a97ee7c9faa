// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// LogConfig says what becomes of what the machine prints.
type LogConfig struct {
	// How the lines that the steps print come to Packer while the machine works. `"s3"`: the machine puts the end of its
	// log into the bucket of `staging` every two seconds; should that not work, by the console. `"console"`: encrypted on
	// its console, up to 4 KB a second, which EC2 shows at once on Nitro instance types only. `"off"`: not at all; a step
	// that fails still shows its last lines. Default: `"auto"`, which is `"s3"` with `staging`, else `"console"`. Has no
	// effect with `verdict = "stop"`.
	LiveLog string `mapstructure:"live_log"`
	// The file for the log of the machine, readable by its owner only. It is the whole log with `staging`, else what the
	// machine told on its console. Default: when the bake has failed, the name of the image with `.log`, beside
	// `output_file` or in the current directory; no file when it has succeeded. With a file named here, there is one either
	// way. `/dev/null` writes none.
	LogFile string `mapstructure:"log_file"`
	// Values that are replaced by `<sensitive>` wherever this builder says or writes something, `log_file` included. Packer
	// replaces the values of variables that are `sensitive` in all it shows, but does not tell them to plugins: list those
	// here that the machine may print, such as `[var.token]`. Default: none.
	SensitiveValues []string `mapstructure:"sensitive_values"`
}

const (
	liveAuto    = "auto"
	liveStaging = "s3"
	liveConsole = "console"
	liveOff     = "off"
)

func (c *Config) prepareLog() ([]string, []error) {
	var errs []error
	if err := checkOneOf("live_log", &c.LiveLog, liveAuto, liveStaging, liveConsole, liveOff); err != nil {
		errs = append(errs, err)
	}
	if c.LiveLog == liveStaging && c.Staging == nil {
		errs = append(errs, fmt.Errorf("live_log = %q needs staging { url = \"s3://bucket/prefix\" }", liveStaging))
	}
	if c.Verdict == verdictStop && c.LiveLog != liveAuto && c.LiveLog != liveOff && !unknown(c.LiveLog) {
		errs = append(errs, fmt.Errorf("live_log has no effect with verdict = %q, whose user data is launched as it is", verdictStop))
	}
	if known(c.LogFile) && c.LogFile == c.OutputFile {
		errs = append(errs, errors.New("log_file and output_file are the same file: name another"))
	}
	return nil, errs
}

// logWay is how the lines come while the machine works.
func (c *Config) logWay() guest.Way {
	switch {
	case c.LiveLog == liveOff:
		return ""
	case c.LiveLog == liveConsole, c.Staging == nil:
		return guest.ByConsole
	}
	return guest.ByStore
}

// failureLog is where the log of a bake goes that failed.
func (c *Config) failureLog() string {
	if c.LogFile != "" {
		return c.LogFile
	}
	// Of what the name of an image may have, only the slash is no part of a file's name everywhere.
	name := strings.ReplaceAll(c.AMIName, "/", "-") + ".log"
	if c.OutputFile != "" {
		return filepath.Join(filepath.Dir(c.OutputFile), name)
	}
	return name
}

// secrets are the values that must not be said or written.
func (c *Config) secrets() []string {
	all := c.Secrets()
	values := c.SensitiveValues
	for _, name := range c.PackerSensitiveVars { // of templates in JSON
		values = append(values, c.PackerUserVars[name])
	}
	for _, value := range values {
		if unknown(value) {
			continue
		}
		// Machines print line by line. What is short among several lines, such as a brace, is in too much else.
		const short = 5 // bytes
		whole := strings.TrimSpace(value)
		for line := range strings.Lines(whole) {
			if line = strings.TrimSpace(line); line == whole || len(line) >= short {
				all = append(all, line)
			}
		}
	}
	return all
}
