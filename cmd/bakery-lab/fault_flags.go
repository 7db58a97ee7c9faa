// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"flag"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/fault"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/limit"
)

// defineFaultFlags adds the flags for faults and limits.
func (s *settings) defineFaultFlags(f *flag.FlagSet) {
	f.Func("fault", "make calls fail: `Action=code[:after][:count]`. The code is throttle, 500, 503, reset, slow=5s, "+
		"hang=5s, unknown=5s,\n"+
		"      cut=1000, denied, expired, quota, capacity or an error code. With after, the action takes effect "+
		"first; count is\n"+
		"      how many calls fail (default: all). More parts, after colons: nth=3 begins with the third call,\n"+
		"      region=eu-west-1 is for this region only, InstanceType=t3.* only for requests with such a parameter. "+
		"May be\n"+
		"      repeated", func(text string) error {
		one, err := fault.Parse(text)
		s.lab.Faults = append(s.lab.Faults, one)
		return err
	})
	f.Func("limits", "limit requests to EC2: `ec2` for EC2's own limits, and limits of single actions, as in "+
		"ec2,RunInstances=5/2: five at\n"+
		"      once, and two each second after that", func(text string) (err error) {
		s.lab.Limits, err = limit.Parse(text)
		return err
	})
	f.DurationVar(&s.lab.ClockSkew, "clock-skew", 0,
		"how far the lab's clock for signatures is ahead of this computer's; -20m is behind")
	f.DurationVar(&s.lab.URLLife, "url-life", 0, "the longest life of presigned URLs (default: as long as they say)")
	f.DurationVar(&s.lab.Eventual, "eventual", 0, "how long EC2 and IAM do not know new resources")
}
