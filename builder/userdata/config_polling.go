// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"fmt"
	"time"
)

// PollingConfig is how amazon-ebs says how often and how long to look.
type PollingConfig struct {
	// How many times to look before giving up: with `delay_seconds`, or 15 seconds when that is not set, a limit of time.
	// It becomes `image_timeout`, and `instance_timeout` where it is longer than that one's default, because here that
	// limits the whole time on the machine and not its stopping only. Default: the `AWS_MAX_ATTEMPTS` environment
	// variable; else `AWS_TIMEOUT_SECONDS`, which is the limit itself. Neither variable shortens a default.
	MaxAttempts int `mapstructure:"max_attempts"`
	// How many seconds to wait before looking again: `instance_poll_interval` and `image_poll_interval`, at most 60.
	// Default: the `AWS_POLL_DELAY_SECONDS` environment variable.
	DelaySeconds int `mapstructure:"delay_seconds"`
}

// attemptDelay is what an attempt counts for when no delay is said: the delay of the waiters that max_attempts was made
// for. amazon-ebs 1.8 counts 2 seconds, which makes the limit shorter for those who wanted it longer (its issue 642).
const attemptDelay = 15 * time.Second

// preparePolling fills in what the template says in the words of amazon-ebs, where it does not use the words of this
// builder.
func (c *Config) preparePolling() ([]string, []error) {
	p, warnings := c.polling()
	if p.MaxAttempts < 0 || p.DelaySeconds < 0 {
		return warnings, []error{fmt.Errorf("aws_polling: max_attempts is %d and delay_seconds %d; they must not be below 0",
			p.MaxAttempts, p.DelaySeconds)}
	}
	delay := time.Duration(p.DelaySeconds) * time.Second
	if delay > 0 {
		setDuration(&c.InstancePollInterval, min(delay, mostInterval))
		setDuration(&c.ImagePollInterval, min(delay, mostInterval))
	} else {
		delay = attemptDelay
	}
	limit := p.timeout
	if p.MaxAttempts > 0 {
		limit = time.Duration(p.MaxAttempts) * delay
	}
	if limit > 0 {
		setDuration(&c.ImageTimeout, max(limit, p.least))
		setDuration(&c.InstanceTimeout, max(limit, defaultTimeout))
	}
	return warnings, nil
}

func setDuration(d *time.Duration, to time.Duration) {
	if *d == 0 {
		*d = to
	}
}
