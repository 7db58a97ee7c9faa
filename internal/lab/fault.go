// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/ec2"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
)

// When a fault strikes.
const (
	before = "before" // the action has no effect
	after  = "after"  // it has, but the caller does not learn of it
)

// Fault breaks an action on purpose.
type Fault struct {
	Action string            // RunInstances, PutObject, ...; * is every one
	Code   string            // throttle, 500, reset, slow, or any error code
	Delay  time.Duration     // of slow
	When   string            // before or after
	Count  int               // how often; 0 is always
	Nth    int               // the first call it strikes, counted from 1 among those that match; 0 is 1
	Region string            // of the calls it strikes; empty is any
	Where  map[string]string // request parameters those calls have, such as InstanceType; of S3 it is Key

	text string // as it was written
	seen int    // calls that matched so far
}

// faultForm is what a mistake is answered with.
const faultForm = "write it as Action=code[:after][:count][:nth=N][:region=REGION][:Parameter=value], as in RunInstances=throttle:2"

// ParseFault reads Action=code and what follows with colons between, in any order: before or after, a count,
// nth=N, region=REGION, and request parameters by their names in the API, which begin with a capital.
// Code is throttle, 500, reset, slow=5s or an error code of the service.
func ParseFault(text string) (Fault, error) {
	action, rest, ok := strings.Cut(text, "=")
	parts := strings.Split(rest, ":")
	f := Fault{Action: action, Code: parts[0], When: before, text: text}
	if !ok || action == "" || f.Code == "" {
		return f, fmt.Errorf("read fault %q: %s", text, faultForm)
	}
	if value, slow := strings.CutPrefix(f.Code, "slow="); slow {
		d, err := time.ParseDuration(value)
		if err != nil {
			return f, fmt.Errorf("read fault %q: %w", text, err)
		}
		f.Code, f.Delay = "slow", d
	}
	for _, part := range parts[1:] {
		if err := f.option(part); err != nil {
			return f, fmt.Errorf("read fault %q: %w", text, err)
		}
	}
	if f.Nth > 0 && f.Count == 0 {
		f.Count = 1
	}
	return f, nil
}

// option reads one part of a fault's text.
func (f *Fault) option(part string) error {
	name, value, named := strings.Cut(part, "=")
	n, notNumber := strconv.Atoi(part)
	nth, notNth := strconv.Atoi(value)
	switch {
	case part == before || part == after:
		f.When = part
	case notNumber == nil && n > 0:
		f.Count = n
	case name == "nth" && notNth == nil && nth > 0:
		f.Nth = nth
	case name == "region" && value != "":
		f.Region = value
	case named && name != "" && unicode.IsUpper(rune(name[0])):
		if f.Where == nil {
			f.Where = map[string]string{}
		}
		f.Where[name] = value
	default:
		return fmt.Errorf("%q is no part of a fault: %s", part, faultForm)
	}
	return nil
}

// matches says whether the fault is for a call.
func (f *Fault) matches(x *exchange) bool {
	if f.Action != x.action && f.Action != "*" || f.Count < 0 || f.Region != "" && f.Region != x.region {
		return false
	}
	for name, value := range f.Where {
		if x.parameter == nil || x.parameter(name) != value {
			return false
		}
	}
	return true
}

// nextFault takes the first fault that strikes a call, if there is one; the zero Fault breaks nothing.
func (l *Lab) nextFault(x *exchange) Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	var taken Fault
	for i := range l.faults {
		f := &l.faults[i]
		if !f.matches(x) {
			continue
		}
		if f.seen++; f.seen < f.Nth || taken.Code != "" {
			continue
		}
		taken = *f
		if f.Count > 0 {
			if f.Count--; f.Count == 0 {
				f.Count = -1 // used up; 0 would be for ever
			}
		}
	}
	return taken
}

// breaks does what the fault does at a moment and says whether the exchange is over.
func (f Fault) breaks(x *exchange, moment string) bool {
	if f.Code == "" || f.When != moment {
		return false
	}
	if moment == after {
		x.w = x.original
	}
	x.code = f.Code
	switch f.Code {
	case "slow":
		select {
		case <-time.After(f.Delay):
		case <-x.r.Context().Done():
		}
		x.code = ""
		return false
	case "reset":
		x.status = 0
		panic(http.ErrAbortHandler) // net/http closes the connection without an answer
	case "500":
		x.refuse(refusal{http.StatusInternalServerError, "InternalError", "An internal error has occurred"})
	case "throttle":
		x.refuse(throttled[x.service])
	case "UnauthorizedOperation":
		x.refuse(deny(x.service, iam.Request{Action: x.service + ":" + x.action, Resource: "*"}, x.who))
	default:
		x.refuse(refusal{statusOf(x.service, f.Code), f.Code, "The lab was told to answer so."})
	}
	return true
}

// statusOf is the HTTP status that a service sends with an error code.
func statusOf(service, code string) int {
	if service == "ec2" {
		return ec2.Status(code)
	}
	return http.StatusBadRequest
}

// throttled is how each service says to slow down.
var throttled = map[string]refusal{
	"ec2": {http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded."},
	"s3":  {http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate."},
	"sts": {http.StatusBadRequest, "Throttling", "Rate exceeded"},
	"iam": {http.StatusBadRequest, "Throttling", "Rate exceeded"},
	"ssm": {http.StatusBadRequest, "ThrottlingException", "Rate exceeded"},
}
