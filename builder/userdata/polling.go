// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"fmt"
	"os"
	"strconv"
	"time"
)

// polling is the block aws_polling, or the environment's in place of it.
type polling struct {
	PollingConfig
	timeout time.Duration
	least   time.Duration // a variable of AWS_MAX_ATTEMPTS=3 may well be meant for the SDK alone, so it shortens nothing
}

func (c *Config) polling() (polling, []string) {
	p := polling{least: leastTimeout}
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
			warnings = append(warnings, fmt.Sprintf("the environment variable %s is %q, which is no number, and is ignored", name, text))
			return 0
		}
		return n
	}
	if p.DelaySeconds == 0 {
		p.DelaySeconds = number("AWS_POLL_DELAY_SECONDS")
	}
	if p.MaxAttempts == 0 {
		p.MaxAttempts, p.least = number("AWS_MAX_ATTEMPTS"), defaultTimeout
	}
	p.timeout = time.Duration(number("AWS_TIMEOUT_SECONDS")) * time.Second
	return p, warnings
}
