// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// WatchConfig says how long the machine may take, and what counts as success.
type WatchConfig struct {
	// How long the machine may take from its launch until it has powered off, as a duration. Default: `30m`; at
	// least `120s`. The machine ends by itself after this time even when Packer is gone.
	InstanceTimeout time.Duration `mapstructure:"instance_timeout"`
	// How often the machine is looked at, as a duration. Default: `5s`; at most `60s`. The interval grows only while AWS asks
	// to slow down, up to `60s`.
	InstancePollInterval time.Duration `mapstructure:"instance_poll_interval"`
	// How often and how long to look, in the words of amazon-ebs. See [PollingConfig](#polling-configuration). The
	// settings `instance_timeout`, `instance_poll_interval`, `image_timeout` and `image_poll_interval` have precedence.
	AWSPolling *PollingConfig `mapstructure:"aws_polling"`
	// What counts as success. `"report"`, the default: the machine's own report of success on its console.
	// `"stop"`: that the machine has powered itself off. That is for user data that must be launched byte for byte as
	// it is; a failed command, or half a machine, is then as good as success. Needs `user_data_file` or `user_data`.
	Verdict string `mapstructure:"verdict"`
	// What to leave on the machine that would otherwise be removed before the image is made, by the names of the
	// clean-up's sections. Default: none. Conflicts with `verdict = "stop"`, which removes nothing.
	SkipCleanup []string `mapstructure:"skip_cleanup"`
	// Fill what is free on the machine's disks with zeros before the image is made. The clean-up overwrites every file that
	// held a secret; this is for what programs have freed before, such as the copies of the user data that cloud-init
	// replaces while it boots: they stay in blocks that no file has, which the snapshot takes along. It takes as long as
	// writing the whole disk does (8 GiB of gp3: about a minute), and the snapshot's blocks are all in use then. See
	// [Security](../security.md). Default: `false`.
	WipeFreeSpace bool `mapstructure:"wipe_free_space"`
}

const (
	verdictReport = "report"
	verdictStop   = "stop"

	defaultTimeout  = 30 * time.Minute
	leastTimeout    = 120 * time.Second // the seed's minimum: no machine boots, installs and stops in less
	defaultInterval = 5 * time.Second   // the seed's
	leastInterval   = time.Second       // what is faster than this only makes AWS throttle
	mostInterval    = time.Minute       // the seed's maximum
)

func (c *WatchConfig) prepare() ([]string, []error) {
	errs := durationBetween("instance_timeout", &c.InstanceTimeout, defaultTimeout, leastTimeout, 0)
	errs = append(errs, durationBetween("instance_poll_interval", &c.InstancePollInterval,
		defaultInterval, leastInterval, mostInterval)...)
	if err := checkOneOf("verdict", &c.Verdict, verdictReport, verdictStop); err != nil {
		errs = append(errs, err)
	}
	if c.Verdict == verdictStop && len(c.SkipCleanup) > 0 {
		errs = append(errs, fmt.Errorf("skip_cleanup has no effect with verdict = %q, which removes nothing", verdictStop))
	}
	if c.Verdict == verdictStop && c.WipeFreeSpace {
		errs = append(errs, fmt.Errorf("wipe_free_space has no effect with verdict = %q, which has no clean-up", verdictStop))
	}
	for _, name := range c.SkipCleanup {
		if !unknown(name) && !slices.Contains(guest.Sections, name) {
			errs = append(errs, fmt.Errorf("skip_cleanup: %q is none of %s", name, strings.Join(guest.Sections, ", ")))
		}
	}
	return nil, errs
}
