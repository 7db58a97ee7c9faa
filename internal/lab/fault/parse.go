// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package fault

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// form is how faults are written; errors of Parse say so.
const form = "write it as Action=code[:after][:count][:nth=N][:region=REGION][:Parameter=value], as in " +
	"RunInstances=throttle:2"

// Parse reads Action=code and then, in any order and separated by colons: before or after, a count, nth=N,
// region=REGION, and request parameters by their names in the API, which begin with a capital letter. Code is the name
// of an effect, with a value where the effect needs one (slow=5s), or an error code of the service.
func Parse(text string) (Fault, error) {
	action, rest, ok := strings.Cut(text, "=")
	parts := strings.Split(rest, ":")
	f := Fault{Action: action, text: text}
	if !ok || action == "" || parts[0] == "" {
		return f, fmt.Errorf("read fault %q: %s", text, form)
	}
	var err error
	if f.Effect, err = parseEffect(action, parts[0]); err != nil {
		return f, fmt.Errorf("read fault %q: %w", text, err)
	}
	for _, part := range parts[1:] {
		if err := f.parseOption(part); err != nil {
			return f, fmt.Errorf("read fault %q: %w", text, err)
		}
	}
	if f.Nth > 0 && f.Count == 0 {
		f.Count = 1
	}
	return f, nil
}

// parseEffect reads the code and its value. A code that is not the name of an effect is an error code of the service.
func parseEffect(action, text string) (Effect, error) {
	name, value, hasValue := strings.Cut(text, "=")
	k, registered := kinds[name]
	switch {
	case !registered && hasValue:
		return nil, fmt.Errorf("%s takes no value", name)
	case !registered:
		return AnswerCode{name}, nil
	case k.console && action != getConsoleOutput:
		return nil, fmt.Errorf("%s is a fault of %s only", name, getConsoleOutput)
	case k.example == "" && hasValue:
		return nil, fmt.Errorf("%s takes no value", name)
	case k.example != "" && value == "":
		return nil, fmt.Errorf("%s needs a value, as in %s=%s", name, name, k.example)
	}
	effect, err := k.parse(value)
	if err != nil {
		return nil, fmt.Errorf("read the value of %s, which is as in %s=%s: %w", name, name, k.example, err)
	}
	return effect, nil
}

func (f *Fault) parseOption(part string) error {
	name, value, named := strings.Cut(part, "=")
	count, notCount := strconv.Atoi(part)
	nth, notNth := strconv.Atoi(value)
	switch {
	case part == "before":
		f.After = false
	case part == "after":
		f.After = true
	case notCount == nil && count > 0:
		f.Count = count
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
		return fmt.Errorf("%q is not a part of a fault: %s", part, form)
	}
	return nil
}

var errNegative = errors.New("it must not be negative")
