// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/ec2"
)

// When a fault strikes.
const (
	before = "before" // the action has no effect
	after  = "after"  // it has, but the caller does not learn of it
)

// Fault breaks an action on purpose.
type Fault struct {
	Action string            // RunInstances, PutObject, ...; * is every one
	Code   string            // one of the words below, or any error code of the service
	Delay  time.Duration     // of slow, hang, unknown and lag
	Bytes  int64             // of cut and keep
	Word   string            // of drop
	When   string            // before or after
	Count  int               // how often; 0 is always
	Nth    int               // the first call it strikes, counted from 1 among those that match; 0 is 1
	Region string            // of the calls it strikes; empty is any
	Where  map[string]string // request parameters those calls have, such as InstanceType, with * and ?; see parameters

	text string // as it was written
	seen int    // calls that matched so far
}

// What a fault does, beside answering with an error code of the service.
const (
	throttle = "throttle" // the service's own way to say that there were too many requests
	reset    = "reset"    // the connection is closed without an answer
	slow     = "slow"     // the answer takes so much longer
	hang     = "hang"     // no answer comes; the connection stays open for so long
	unknown  = "unknown"  // what is younger is not known yet: eventual consistency
	cut      = "cut"      // the connection is closed when so many bytes of an upload, or else of the answer, have passed
	denied   = "denied"   // no permission; EC2 encodes why
	expired  = "expired"  // the credentials have, or the presigned URL has
	quota    = "quota"    // the account has as many as it may have of what the action makes
	capacity = "capacity" // AWS has no machines left

	// Of GetConsoleOutput.
	lag      = "lag"      // it shows what there was so long ago
	keep     = "keep"     // it shows so many bytes, the last ones
	drop     = "drop"     // it has lost the lines that hold a word
	empty    = "empty"    // it shows nothing
	unposted = "unposted" // once the machine is off, it shows what there was when the machine began to run
)

// views are the faults of a console: what is shown then.
var views = map[string]func(*cloud.ConsoleView, Fault){
	lag:      func(v *cloud.ConsoleView, f Fault) { v.Lag = f.Delay },
	keep:     func(v *cloud.ConsoleView, f Fault) { v.Keep = int(f.Bytes) },
	drop:     func(v *cloud.ConsoleView, f Fault) { v.Drop = f.Word },
	empty:    func(v *cloud.ConsoleView, _ Fault) { v.Empty = true },
	unposted: func(v *cloud.ConsoleView, _ Fault) { v.Unposted = true },
}

// faultForm is what a mistake is answered with.
const faultForm = "write it as Action=code[:after][:count][:nth=N][:region=REGION][:Parameter=value], as in RunInstances=throttle:2"

// ParseFault reads Action=code and what follows with colons between, in any order: before or after, a count,
// nth=N, region=REGION, and request parameters by their names in the API, which begin with a capital.
// Code is throttle, 500, 503, reset, slow=5s, hang=5s, unknown=5s, cut=1000, denied, expired, quota, capacity or an error
// code of the service; of GetConsoleOutput also lag=5s, keep=1000, drop=verdict, empty and unposted.
func ParseFault(text string) (Fault, error) {
	action, rest, ok := strings.Cut(text, "=")
	parts := strings.Split(rest, ":")
	f := Fault{Action: action, Code: parts[0], When: before, text: text}
	if !ok || action == "" || f.Code == "" {
		return f, fmt.Errorf("read fault %q: %s", text, faultForm)
	}
	if err := f.measure(); err != nil {
		return f, fmt.Errorf("read fault %q: %w", text, err)
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

// measure reads what follows the code: a time or a number of bytes.
func (f *Fault) measure() (err error) {
	code, value, measured := strings.Cut(f.Code, "=")
	switch {
	case views[code] != nil && f.Action != "GetConsoleOutput":
		err = fmt.Errorf("%s is a fault of GetConsoleOutput only", code)
	case slices.Contains([]string{slow, hang, unknown, lag}, code) && measured:
		f.Delay, err = time.ParseDuration(value)
	case slices.Contains([]string{cut, keep}, code) && measured:
		f.Bytes, err = strconv.ParseInt(value, 10, 64)
	case code == drop && value != "":
		f.Word = value
	case measured || slices.Contains([]string{slow, hang, unknown, lag, cut, keep, drop}, code):
		err = errors.New("slow, hang, unknown and lag need a time, as in slow=5s, cut and keep a number of bytes, as in cut=1000, drop a word, and nothing else does")
	}
	f.Code = code
	if f.Delay < 0 || f.Bytes < 0 {
		err = fmt.Errorf("%s of %s is less than nothing", code, value)
	}
	return err
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
		if x.parameter == nil || !ec2.Match(value, x.parameter(name)) {
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
