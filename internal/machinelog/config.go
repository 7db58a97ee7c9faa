// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:generate go tool -modfile=../../tools/go.mod packer-sdc struct-markdown

package machinelog

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// LogConfig says what becomes of what the machine prints.
type LogConfig struct {
	// How the lines that the steps print come to Packer while the machine works. `"s3"`: the machine puts the end of
	// its log into the bucket of `staging` every two seconds; should that not work, by the console. `"console"`:
	// encrypted on its console, up to 4 KB a second, which EC2 shows at once on Nitro instance types, and minutes after
	// the stop on others. `"off"`: not at all; a step that fails still shows its last lines. Default: `"auto"`, which
	// is `"s3"` with `staging`, else `"console"`. Has no effect with `verdict = "stop"`.
	LiveLog string `mapstructure:"live_log"`
	// The file for the log of the machine, readable by its owner only. It is the whole log with `staging`, else what
	// the machine told on its console. It is written when the bake ends, whether it succeeds or fails, and replaces an
	// earlier one. `/dev/null` writes none. Default: no file when the bake succeeds; when it fails, a new file in
	// `bakery-logs` of Packer's cache directory (`PACKER_CACHE_DIR`, else `~/.cache/packer`), which keeps the newest
	// 20 such logs. The bake says where it is.
	LogFile string `mapstructure:"log_file"`
	// Values that are replaced by `<sensitive>` wherever this builder says or writes something, `log_file` included.
	// Packer replaces the values of variables that are `sensitive` in all it shows, but does not tell them to plugins:
	// list those here that the machine may print, such as `[var.token]`. Default: none.
	SensitiveValues []string `mapstructure:"sensitive_values"`
}

// The values of live_log.
const (
	liveAuto    = "auto"
	liveStaging = "s3"
	liveConsole = "console"
	liveOff     = "off"
)

// Check returns what is wrong with the settings, given whether there is a bucket for staging, the setting verdict, and
// output_file.
func (c *LogConfig) Check(staging bool, verdict, outputFile string) ([]string, []error) {
	var errs []error
	if err := setting.CheckOneOf("live_log", &c.LiveLog, liveAuto, liveStaging, liveConsole, liveOff); err != nil {
		errs = append(errs, err)
	}
	if c.LiveLog == liveStaging && !staging {
		errs = append(errs, fmt.Errorf("live_log = %q needs staging { url = \"s3://bucket/prefix\" }", liveStaging))
	}
	isSet := c.LiveLog != liveAuto && c.LiveLog != liveOff && !setting.Unknown(c.LiveLog)
	if verdict == setting.VerdictStop && isSet {
		errs = append(errs, fmt.Errorf("live_log has no effect with verdict = %q, whose user data is launched as it is",
			setting.VerdictStop))
	}
	if setting.Known(c.LogFile) && outputFile != "" && filepath.Clean(c.LogFile) == filepath.Clean(outputFile) {
		errs = append(errs, errors.New("log_file and output_file are the same file: name another"))
	}
	return nil, errs
}

// Way returns how lines come from the machine while it works, given whether there is a bucket for staging.
func (c *LogConfig) Way(staging bool) guest.Way {
	switch {
	case c.LiveLog == liveOff:
		return ""
	case c.LiveLog == liveConsole, !staging:
		return guest.ByConsole
	}
	return guest.ByStore
}
