// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package fault

import (
	"strconv"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
)

// getConsoleOutput is the only action that effects on the console are for.
const getConsoleOutput = "GetConsoleOutput"

// kind is how a registered effect is read.
type kind struct {
	parse   func(value string) (Effect, error)
	example string // of a value; "" for effects without one
	console bool   // only for GetConsoleOutput
}

// kinds are the registered effects by the name that a fault's text has for them.
var kinds = map[string]kind{
	"throttle": without(Answer{service.ErrThrottled}),
	"500":      without(Answer{service.ErrInternal}),
	"503":      without(Answer{service.ErrUnavailable}),
	"capacity": without(AnswerCode{"InsufficientInstanceCapacity"}),
	"denied":   without(Deny{}),
	// EC2's code for a missing permission, whose answer has an encoded message like that of denied.
	"UnauthorizedOperation": without(Deny{}),
	"expired":               without(Expire{}),
	"quota":                 without(ExceedQuota{}),

	"slow":    withDuration(func(d time.Duration) Effect { return Slow{d} }),
	"hang":    withDuration(func(d time.Duration) Effect { return Hang{d} }),
	"reset":   without(Reset{}),
	"cut":     withBytes(func(n int64) Effect { return Cut{n} }),
	"unknown": withDuration(func(d time.Duration) Effect { return HideNew{d} }),

	"lag":      ofConsole(withDuration(func(d time.Duration) Effect { return ConsoleLag{d} })),
	"keep":     ofConsole(withBytes(func(n int64) Effect { return ConsoleTail{n} })),
	"drop":     ofConsole(withText("verdict", func(text string) Effect { return ConsoleDropLines{text} })),
	"empty":    ofConsole(without(ConsoleEmpty{})),
	"unposted": ofConsole(without(ConsoleNotPosted{})),
}

func without(e Effect) kind {
	return kind{parse: func(string) (Effect, error) { return e, nil }}
}

func withDuration(effect func(time.Duration) Effect) kind {
	return kind{example: "5s", parse: func(value string) (Effect, error) {
		d, err := time.ParseDuration(value)
		if err == nil && d < 0 {
			err = errNegative
		}
		return effect(d), err
	}}
}

func withBytes(effect func(int64) Effect) kind {
	return kind{example: "1000", parse: func(value string) (Effect, error) {
		n, err := strconv.ParseInt(value, 10, 64)
		if err == nil && n < 0 {
			err = errNegative
		}
		return effect(n), err
	}}
}

func withText(example string, effect func(string) Effect) kind {
	return kind{example: example, parse: func(value string) (Effect, error) { return effect(value), nil }}
}

func ofConsole(k kind) kind {
	k.console = true
	return k
}
