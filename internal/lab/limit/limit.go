// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package limit is EC2's request limits of an account in a region: a token bucket for each action, and for actions on
// instances one more, which counts instances. It may not know how requests look; the caller says what one costs.
//
// Source: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html, "Request token bucket sizes and
// refill rates" and "Resource token bucket sizes and refill rates", as of 2025.
package limit

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Rate is the size of a token bucket, and how many tokens it gets each second.
type Rate struct{ Size, Refill float64 }

// Rates are the limits of an account in one region. A zero Rate is no limit.
type Rates struct {
	Reads     Rate            // for each Describe* and Get*
	Unbounded Rate            // for reads of all resources: without a filter or a page size
	Writes    Rate            // for each other action
	Actions   map[string]Rate // for actions with rates of their own
	Resources map[string]Rate // of instances, by action
}

// EC2 returns the documented default rates.
func EC2() *Rates {
	return &Rates{
		Reads: Rate{100, 20}, Unbounded: Rate{50, 10}, Writes: Rate{50, 5},
		Actions: map[string]Rate{
			"RunInstances": {5, 2}, "StartInstances": {5, 2}, "TerminateInstances": {100, 5}, "CreateTags": {100, 10},
			"DeleteTags": {100, 10},
			"CopyImage":  {100, 1}, "DeregisterImage": {100, 5}, "ModifyImageAttribute": {100, 5},
			"CreateSnapshot": {100, 5},
			"DeleteSnapshot": {100, 5}, "ModifySnapshotAttribute": {100, 5}, "CreateVolume": {100, 5},
			"DeleteVolume": {100, 5},
		},
		Resources: map[string]Rate{
			"RunInstances": {1000, 2}, "StartInstances": {1000, 2}, "StopInstances": {1000, 20},
			"TerminateInstances": {1000, 20},
		},
	}
}

// Parse parses a list with commas of "ec2" and of rates for single actions, as Action=SIZE/REFILL.
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

// unbounded are the actions to which Rates.Unbounded applies.
var unbounded = map[string]bool{
	"DescribeInstances": true, "DescribeInstanceStatus": true, "DescribeNetworkInterfaces": true,
	"DescribeSecurityGroups": true,
	"DescribeSnapshots":      true, "DescribeSpotInstanceRequests": true, "DescribeVolumes": true,
}

// Request is what a request costs.
type Request struct {
	Region, Action string
	Bounded        bool // it has a filter or a page size
	Instances      int  // how many it uses
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

// New returns limits with full buckets. Without rates there is no limit.
func New(r *Rates) *Limits { return &Limits{rates: r, buckets: map[string]*bucket{}} }

// Allow reports whether a request is within the limits. A request that is not takes no tokens.
func (l *Limits) Allow(r Request) bool {
	if l.rates == nil {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	rate, name := l.rates.bucketFor(r)
	request := l.refilledBucket(r.Region+"/"+name, rate)
	resource, counted := l.rates.Resources[r.Action]
	var instances *bucket
	if counted {
		instances = l.refilledBucket(r.Region+"/instances of "+r.Action, resource)
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

// bucketFor returns the rate and the name of a request's bucket.
func (r *Rates) bucketFor(q Request) (Rate, string) {
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

// refilledBucket returns a bucket after it has got its tokens up to now; nil when there is no limit.
func (l *Limits) refilledBucket(name string, rate Rate) *bucket {
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
