// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// When a fault strikes.
const (
	before = "before" // the action has no effect
	after  = "after"  // it has, but the caller does not learn of it
)

// Fault breaks an action on purpose.
type Fault struct {
	Action string        // RunInstances, PutObject, ...; * is every one
	Code   string        // throttle, 500, reset, slow, or any error code
	Delay  time.Duration // of slow
	When   string        // before or after
	Count  int           // how often; 0 is always
}

// ParseFault reads Action=code[:after][:count], code being throttle, 500, reset, slow=5s or an error
// code of the service.
func ParseFault(text string) (Fault, error) {
	action, rest, ok := strings.Cut(text, "=")
	parts := strings.Split(rest, ":")
	f := Fault{Action: action, Code: parts[0], When: before}
	if !ok || action == "" || f.Code == "" {
		return f, fmt.Errorf("read fault %q: write it as Action=code[:after][:count], as in RunInstances=throttle:2", text)
	}
	if value, slow := strings.CutPrefix(f.Code, "slow="); slow {
		d, err := time.ParseDuration(value)
		if err != nil {
			return f, fmt.Errorf("read fault %q: %w", text, err)
		}
		f.Code, f.Delay = "slow", d
	}
	for _, part := range parts[1:] {
		n, err := strconv.Atoi(part)
		switch {
		case part == before || part == after:
			f.When = part
		case err == nil && n > 0:
			f.Count = n
		default:
			return f, fmt.Errorf("read fault %q: %q is neither before, after nor a count", text, part)
		}
	}
	return f, nil
}

// nextFault takes the first fault of an action, if there is one left; the zero Fault breaks nothing.
func (l *Lab) nextFault(action string) Fault {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.faults {
		f := &l.faults[i]
		if f.Action != action && f.Action != "*" || f.Count < 0 {
			continue
		}
		taken := *f
		if f.Count > 0 {
			if f.Count--; f.Count == 0 {
				f.Count = -1 // used up; 0 would be for ever
			}
		}
		return taken
	}
	return Fault{}
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
	default:
		x.refuse(refusal{http.StatusBadRequest, f.Code, "The lab was told to answer so."})
	}
	return true
}

// throttled is how each service says to slow down.
var throttled = map[string]refusal{
	"ec2": {http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded."},
	"s3":  {http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate."},
	"sts": {http.StatusBadRequest, "Throttling", "Rate exceeded"},
	"ssm": {http.StatusBadRequest, "ThrottlingException", "Rate exceeded"},
}
