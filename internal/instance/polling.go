// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// PollingConfig is how amazon-ebs says how often and how long to look.
type PollingConfig struct {
	// How many times to look before giving up: with `delay_seconds`, or 15 seconds when that is not set, a limit of
	// time. It becomes `image_timeout`, and `instance_timeout` where it is longer than that one's default, because here
	// that limits the whole time on the machine and not its stopping only. Default: the `AWS_MAX_ATTEMPTS` environment
	// variable; else `AWS_TIMEOUT_SECONDS`, which is the limit itself. Neither variable shortens a default.
	MaxAttempts int `mapstructure:"max_attempts"`
	// How many seconds to wait before looking again: `instance_poll_interval` and `image_poll_interval`, at most 60.
	// Default: the `AWS_POLL_DELAY_SECONDS` environment variable.
	DelaySeconds int `mapstructure:"delay_seconds"`
}

// attemptDelay is what an attempt counts for when no delay is said: the delay of the waiters that max_attempts was made
// for. amazon-ebs 1.8 counts 2 seconds, which makes the limit shorter for those who wanted it longer (its issue 642).
const attemptDelay = 15 * time.Second

// ApplyPolling sets the waits that the template says in the words of amazon-ebs, where it does not use the words of
// this builder: those of the machine, and those of the image, which it is given.
func (c *WatchConfig) ApplyPolling(imageTimeout, imageInterval *time.Duration) ([]string, []error) {
	p, warnings := c.polling()
	if p.MaxAttempts < 0 || p.DelaySeconds < 0 {
		return warnings, []error{fmt.Errorf("aws_polling: max_attempts is %d and delay_seconds %d; they must not be "+
			"below 0",
			p.MaxAttempts, p.DelaySeconds)}
	}
	delay := time.Duration(p.DelaySeconds) * time.Second
	if delay > 0 {
		setDuration(&c.InstancePollInterval, min(delay, setting.MostInterval))
		setDuration(imageInterval, min(delay, setting.MostInterval))
	} else {
		delay = attemptDelay
	}
	limit := p.timeout
	if p.MaxAttempts > 0 {
		limit = time.Duration(p.MaxAttempts) * delay
	}
	if limit > 0 {
		setDuration(imageTimeout, max(limit, p.least))
		setDuration(&c.InstanceTimeout, max(limit, setting.DefaultTimeout))
	}
	return warnings, nil
}

func setDuration(d *time.Duration, to time.Duration) {
	if *d == 0 {
		*d = to
	}
}

// polling is the block aws_polling, or what the environment says in place of it.
type polling struct {
	PollingConfig
	timeout time.Duration
	// a variable of AWS_MAX_ATTEMPTS=3 may well be meant for the SDK alone, so it shortens nothing
	least time.Duration
}

// polling returns aws_polling, with what the environment says where the template does not.
func (c *WatchConfig) polling() (polling, []string) {
	p := polling{least: setting.LeastTimeout}
	if c.AWSPolling != nil {
		p.PollingConfig = *c.AWSPolling
	}
	var warnings []string
	number := func(name string) int {
		text := os.Getenv(name)
		if text == "" {
			return 0
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			warnings = append(warnings, fmt.Sprintf("the environment variable %s is %q, which is no number, and is "+
				"ignored", name, text))
			return 0
		}
		return n
	}
	if p.DelaySeconds == 0 {
		p.DelaySeconds = number("AWS_POLL_DELAY_SECONDS")
	}
	if p.MaxAttempts == 0 {
		p.MaxAttempts, p.least = number("AWS_MAX_ATTEMPTS"), setting.DefaultTimeout
	}
	p.timeout = time.Duration(number("AWS_TIMEOUT_SECONDS")) * time.Second
	return p, warnings
}
