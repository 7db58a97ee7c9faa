// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsfake

import (
	"net/http"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// Failure is an answer of AWS that refuses a call.
type Failure struct {
	Status int // of HTTP
	Code   string
}

// Fault decides whether a call of an action fails, given how often the action was called before. It returns nil when
// the call does not fail. It is called with the account locked, so it may change the account.
type Fault func(callsBefore int) *Failure

// Always fails every call of an action.
func Always(status int, code string) Fault {
	return func(int) *Failure { return &Failure{status, code} }
}

// FirstCalls fails the first n calls of an action.
func FirstCalls(n, status int, code string) Fault {
	return func(callsBefore int) *Failure {
		if callsBefore < n {
			return &Failure{status, code}
		}
		return nil
	}
}

// SecondCall fails the second call of an action.
func SecondCall(status int, code string) Fault {
	return func(callsBefore int) *Failure {
		if callsBefore == 1 {
			return &Failure{status, code}
		}
		return nil
	}
}

// Then fails no call, and changes something before the account answers.
func Then(change func()) Fault {
	return func(int) *Failure {
		change()
		return nil
	}
}

// failure returns how the newest call of an action fails, or nil.
func (a *Account) failure(faults map[string]Fault, action string) *Failure {
	if faults[action] == nil {
		return nil
	}
	return faults[action](a.Count(action) - 1)
}

func badRequest(code string) *Failure { return &Failure{http.StatusBadRequest, code} }

// message is what AWS says with a code. The plugin reads it where the code alone does not say enough.
func (f *Failure) message() string {
	if f.Code == awscall.CodeParameterValue {
		return "Value (bakery) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
	}
	return "the test says so"
}
