// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import "github.com/amibakery/packer-plugin-bakery/internal/lab/limit"

// Cost implements service.RateLimited.
func (r *request) Cost() limit.Request {
	instances := len(r.query.Strings("InstanceId"))
	if r.action == "RunInstances" {
		instances = 1
		if n, err := r.query.Int("MaxCount", 1); err == nil && n > 1 && n < maxIndex {
			instances = int(n)
		}
	}
	return limit.Request{
		Region: r.region, Action: r.action, Bounded: r.query.Has("Filter") ||
			r.query.Has("MaxResults"), Instances: instances,
	}
}
