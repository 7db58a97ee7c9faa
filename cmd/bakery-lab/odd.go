// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"flag"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/fault"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/limit"
)

// defineFaults adds the flags for what goes wrong.
func (s *settings) defineFaults(f *flag.FlagSet) {
	f.Func("fault", "break `Action=code[:after][:count]`: code is throttle, 500, 503, reset, slow=5s, hang=5s, unknown=5s, cut=1000,\n"+
		"      denied, expired, quota, capacity or an error code; after lets the action take effect first; count is how often\n"+
		"      (default always). Further parts, with colons between: nth=3 spares the first two calls, region=eu-west-1 all\n"+
		"      other regions, InstanceType=t3.* all requests that do not have this parameter. May be repeated", func(text string) error {
		one, err := fault.Parse(text)
		s.lab.Faults = append(s.lab.Faults, one)
		return err
	})
	f.Func("limits", "limit requests to EC2 as an account's are, with `ec2`, and single actions, as in ec2,RunInstances=5/2: as\n"+
		"      many at once, and so many each second after that", func(text string) (err error) {
		s.lab.Limits, err = limit.Parse(text)
		return err
	})
	f.DurationVar(&s.lab.ClockSkew, "clock-skew", 0, "by how much the lab's clock is ahead of this computer's, which matters to signatures; -20m is behind")
	f.DurationVar(&s.lab.URLLife, "url-life", 0, "the longest that presigned URLs are good for (default: as long as they say)")
	f.DurationVar(&s.lab.Eventual, "eventual", 0, "how long EC2 and IAM do not know what is new")
}
