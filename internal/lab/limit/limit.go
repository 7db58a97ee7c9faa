// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package limit is how EC2 limits the requests of an account in a region: by token buckets, one for each action, and for
// actions on instances one more that counts the instances. It knows no requests; the caller says what one asks for.
//
// Source: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html, "Request token bucket sizes and refill
// rates" and "Resource token bucket sizes and refill rates", as of 2025.
package limit

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Rate is a bucket: how many tokens fit into it, and how many come in each second.
type Rate struct{ Size, Refill float64 }

// Rates are the buckets of an account in one region. What stands for no action is not limited.
type Rates struct {
	Reads     Rate            // of each Describe* and Get*
	Unbounded Rate            // of those in unbounded, when they are asked for everything
	Writes    Rate            // of each other action
	Actions   map[string]Rate // of actions that have figures of their own
	Resources map[string]Rate // of instances, by action
}

// EC2 are the documented rates of an account that has not asked for others.
func EC2() *Rates {
	return &Rates{
		Reads: Rate{100, 20}, Unbounded: Rate{50, 10}, Writes: Rate{50, 5},
		Actions: map[string]Rate{
			"RunInstances": {5, 2}, "StartInstances": {5, 2}, "TerminateInstances": {100, 5}, "CreateTags": {100, 10}, "DeleteTags": {100, 10},
			"CopyImage": {100, 1}, "DeregisterImage": {100, 5}, "ModifyImageAttribute": {100, 5}, "CreateSnapshot": {100, 5},
			"DeleteSnapshot": {100, 5}, "ModifySnapshotAttribute": {100, 5}, "CreateVolume": {100, 5}, "DeleteVolume": {100, 5},
		},
		Resources: map[string]Rate{
			"RunInstances": {1000, 2}, "StartInstances": {1000, 2}, "StopInstances": {1000, 20}, "TerminateInstances": {1000, 20},
		},
	}
}

// Parse reads "ec2", or figures for single actions as Action=SIZE/REFILL, or "ec2" and such figures, with commas between.
func Parse(text string) (*Rates, error) {
	r := &Rates{Actions: map[string]Rate{}}
	for part := range strings.SplitSeq(text, ",") {
		if part == "ec2" {
			own := r.Actions
			r = EC2()
			maps.Copy(r.Actions, own)
			continue
		}
		action, figures, _ := strings.Cut(part, "=")
		size, refill, _ := strings.Cut(figures, "/")
		var rate Rate
		var errs [2]error
		rate.Size, errs[0] = strconv.ParseFloat(size, 64)
		rate.Refill, errs[1] = strconv.ParseFloat(refill, 64)
		if action == "" || errs[0] != nil || errs[1] != nil || rate.Size < 1 || rate.Refill < 0 {
			return nil, fmt.Errorf("read limit %q: write ec2, or Action=SIZE/REFILL as in RunInstances=5/2", part)
		}
		r.Actions[action] = rate
	}
	return r, nil
}

// unbounded are the actions that have a smaller bucket when a request has neither a filter nor a page size.
var unbounded = map[string]bool{
	"DescribeInstances": true, "DescribeInstanceStatus": true, "DescribeNetworkInterfaces": true, "DescribeSecurityGroups": true,
	"DescribeSnapshots": true, "DescribeSpotInstanceRequests": true, "DescribeVolumes": true,
}

// Request is what is asked for.
type Request struct {
	Region, Action string
	Bounded        bool // it has a filter or a page size
	Instances      int  // how many it is about
}

// Limits are the buckets of an account. Safe for use by several goroutines.
type Limits struct {
	rates *Rates

	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

// New fills all buckets. Without rates nothing is limited.
func New(r *Rates) *Limits { return &Limits{rates: r, buckets: map[string]*bucket{}} }

// Allow reports whether a request is within the limits. A request that is not takes no tokens.
func (l *Limits) Allow(r Request) bool {
	if l.rates == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	rate, name := l.rates.of(r)
	request := l.refilled(r.Region+"/"+name, rate)
	resource, counted := l.rates.Resources[r.Action]
	var instances *bucket
	if counted {
		instances = l.refilled(r.Region+"/instances of "+r.Action, resource)
	}
	need := float64(r.Instances)
	if request != nil && request.tokens < 1 || instances != nil && instances.tokens < need {
		return false
	}
	if request != nil {
		request.tokens--
	}
	if instances != nil {
		instances.tokens -= need
	}
	return true
}

// of is the bucket of a request, and what it is called.
func (r *Rates) of(q Request) (Rate, string) {
	if rate, ok := r.Actions[q.Action]; ok {
		return rate, q.Action
	}
	switch {
	case unbounded[q.Action] && !q.Bounded:
		return r.Unbounded, q.Action + " of everything"
	case strings.HasPrefix(q.Action, "Describe"), strings.HasPrefix(q.Action, "Get"):
		return r.Reads, q.Action
	}
	return r.Writes, q.Action
}

// refilled is a bucket with the tokens that have come in since it was last looked at; nil without a limit.
func (l *Limits) refilled(name string, rate Rate) *bucket {
	if rate.Size == 0 {
		return nil
	}
	now := time.Now()
	b := l.buckets[name]
	if b == nil {
		b = &bucket{rate.Size, now}
		l.buckets[name] = b
	}
	b.tokens = min(rate.Size, b.tokens+now.Sub(b.at).Seconds()*rate.Refill)
	b.at = now
	return b
}
