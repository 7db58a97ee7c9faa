// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// WatchConfig says how long the machine may take, and what counts as success.
type WatchConfig struct {
	// How long the machine may take from its launch until it has powered off, as a duration. Default: `30m`; at
	// least `120s`. The machine ends by itself after this time even when Packer is gone, unless `verdict` is `"stop"`.
	InstanceTimeout time.Duration `mapstructure:"instance_timeout"`
	// How often the machine is looked at, as a duration. Default: `5s`; at most `60s`. The interval grows only while
	// AWS asks to slow down, up to `60s`.
	InstancePollInterval time.Duration `mapstructure:"instance_poll_interval"`
	// How often and how long to look, in the words of amazon-ebs. See [PollingConfig](#polling-configuration). The
	// settings `instance_timeout`, `instance_poll_interval`, `image_timeout` and `image_poll_interval` have precedence.
	AWSPolling *PollingConfig `mapstructure:"aws_polling"`
	// What counts as success. `"report"`, the default: the machine's own report of success on its console.
	// `"stop"`: that the machine has powered itself off. That is for user data that must be launched byte for byte as
	// it is; a failed command, or half a machine, is then as good as success. If Packer is killed, such a machine runs
	// until it powers itself off or a sweep removes it; see
	// [Machines](https://github.com/amibakery/packer-plugin-bakery/blob/main/docs/kills.md#machines). Needs
	// `user_data_file` or `user_data`.
	Verdict string `mapstructure:"verdict"`
	// What to leave on the machine that would otherwise be removed before the image is made, by the names of the
	// clean-up's sections. Default: none. Conflicts with `verdict = "stop"`, which removes nothing.
	SkipCleanup []string `mapstructure:"skip_cleanup"`
	// Failures of cloud-init that are warnings instead of failing the bake: a list of top-level keys of a cloud-config,
	// such as `"bootcmd"`, `"packages"` or `"keyboard"`, for what their modules failed on, dropped or do not know;
	// `"boothooks"`, for boothooks that fail or cannot run; `"parts"`, for parts of user data that cloud-init dropped;
	// `"unknown_keys"`, for all keys that nothing on the machine reads. Default: none; everything that was asked for
	// and did not work fails the bake. Conflicts with `verdict = "stop"`. For example, where the cloud-init of the base
	// image may be too old to know the keyboard's layout:
	// ```hcl
	// ignore_failures = ["keyboard"]
	// ```
	IgnoreFailures []string `mapstructure:"ignore_failures"`
	// Fill what is free on the machine's disks with zeros before the image is made. The clean-up overwrites every file
	// that held a secret; this is for what programs have freed before, such as the copies of the user data that
	// cloud-init replaces while it boots: they stay in blocks that no file has, which the snapshot takes along. It
	// takes as long as writing the whole disk does (8 GiB of gp3: about a minute), and the snapshot's blocks are all in
	// use then. See [Security](../security.md). Default: `false`.
	WipeFreeSpace bool `mapstructure:"wipe_free_space"`
}

// Check returns what is wrong with the settings. It sets their defaults.
func (c *WatchConfig) Check() ([]string, []error) {
	errs := setting.DurationBetween("instance_timeout", &c.InstanceTimeout, setting.DefaultTimeout,
		setting.LeastTimeout, 0)
	errs = append(errs, setting.DurationBetween("instance_poll_interval", &c.InstancePollInterval,
		setting.DefaultInterval, setting.LeastInterval, setting.MostInterval)...)
	if err := setting.CheckOneOf("verdict", &c.Verdict, setting.VerdictReport, setting.VerdictStop); err != nil {
		errs = append(errs, err)
	}
	if c.Verdict == setting.VerdictStop && len(c.SkipCleanup) > 0 {
		errs = append(errs, fmt.Errorf("skip_cleanup has no effect with verdict = %q, which removes nothing",
			setting.VerdictStop))
	}
	if c.Verdict == setting.VerdictStop && len(c.IgnoreFailures) > 0 {
		errs = append(errs, fmt.Errorf("ignore_failures has no effect with verdict = %q, with which nothing fails",
			setting.VerdictStop))
	}
	known := slices.DeleteFunc(slices.Clone(c.IgnoreFailures), setting.Unknown)
	errs = append(errs, guest.CheckIgnored(known)...)
	if c.Verdict == setting.VerdictStop && c.WipeFreeSpace {
		errs = append(errs, fmt.Errorf("wipe_free_space has no effect with verdict = %q, which has no clean-up",
			setting.VerdictStop))
	}
	for _, name := range c.SkipCleanup {
		if !setting.Unknown(name) && !slices.Contains(guest.Sections, name) {
			errs = append(errs, fmt.Errorf("skip_cleanup: %q is none of %s", name, strings.Join(guest.Sections, ", ")))
		}
	}
	return nil, errs
}
