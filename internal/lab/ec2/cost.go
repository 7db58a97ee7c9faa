// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import "github.com/amibakery/packer-plugin-bakery/internal/lab/limit"

// Cost is what a call takes from the account's limits.
func Cost(r Request) limit.Request {
	instances := len(r.Query.Strings("InstanceId"))
	if r.Action == "RunInstances" {
		instances = 1
		if n, err := r.Query.Int("MaxCount", 1); err == nil && n > 1 && n < maxIndex {
			instances = int(n)
		}
	}
	return limit.Request{
		Region: r.Region, Action: r.Action, Bounded: r.Query.Has("Filter") || r.Query.Has("MaxResults"), Instances: instances,
	}
}
