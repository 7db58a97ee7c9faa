// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awscall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// apiError is an answer of AWS that refuses a call.
func apiError(code string) error {
	err := &smithy.GenericAPIError{Code: code}
	if code == "InternalError" {
		return withStatus(http.StatusInternalServerError, err)
	}
	return err
}

// withStatus is an error that came with an HTTP status.
func withStatus(status int, err error) error {
	return &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: err,
	}
}

func TestErrorClasses(t *testing.T) {
	reset := &smithyhttp.RequestSendError{Err: &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}}
	for name, c := range map[string]struct {
		err                                                error
		transient, throttled, mayHaveTakenEffect, capacity bool
	}{
		"no error":             {err: nil},
		"EC2's throttling":     {err: apiError("RequestLimitExceeded"), transient: true, throttled: true},
		"the SDK's throttling": {err: apiError("Throttling"), transient: true, throttled: true},
		"IAM's throttling":     {err: apiError("ThrottlingException"), transient: true, throttled: true},
		"S3's throttling":      {err: apiError("SlowDown"), transient: true, throttled: true},
		"throttling in context": {
			err: fmt.Errorf("x: %w", apiError("Throttling")), transient: true, throttled: true,
		},
		"a timeout at AWS":         {err: apiError("RequestTimeout"), transient: true, mayHaveTakenEffect: true},
		"a fault of AWS":           {err: apiError("InternalError"), transient: true, mayHaveTakenEffect: true},
		"a connection that breaks": {err: reset, transient: true, mayHaveTakenEffect: true},
		"no answer in time":        {err: context.DeadlineExceeded, transient: true, mayHaveTakenEffect: true},
		"a cancelled call":         {err: context.Canceled},
		"a missing permission":     {err: apiError("UnauthorizedOperation")},
		"no capacity":              {err: apiError("InsufficientInstanceCapacity"), capacity: true},
		"no capacity for Spot":     {err: apiError("SpotMaxPriceTooLow"), capacity: true},
		"a type that is missing":   {err: apiError("Unsupported"), capacity: true},
		"a setting that is wrong":  {err: apiError(CodeUnsupported)},
		"another error":            {err: errors.New("reset")},
	} {
		t.Run(name, func(t *testing.T) {
			for class, pair := range map[string][2]bool{
				"IsTransient":        {IsTransient(c.err), c.transient},
				"IsThrottled":        {IsThrottled(c.err), c.throttled},
				"MayHaveTakenEffect": {MayHaveTakenEffect(c.err), c.mayHaveTakenEffect},
				"IsCapacityError":    {IsCapacityError(c.err), c.capacity},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s is %t, want %t", class, pair[0], pair[1])
				}
			}
		})
	}
}

// EC2 answers a launch without capacity with status 500, which the SDK takes for a fault of AWS.
func TestCapacityErrorHasNoEffectWhateverItsStatus(t *testing.T) {
	err := withStatus(http.StatusInternalServerError, apiError("InsufficientInstanceCapacity"))
	if !IsTransient(err) || MayHaveTakenEffect(err) {
		t.Errorf("transient: %t, may have taken effect: %t", IsTransient(err), MayHaveTakenEffect(err))
	}
}

func TestIgnoreNotFound(t *testing.T) {
	gone, denied := apiError(CodeVolumeNotFound), apiError("UnauthorizedOperation")
	for _, c := range []struct{ err, want error }{
		{nil, nil}, {gone, nil}, {fmt.Errorf("delete: %w", gone), nil}, {denied, denied},
		{apiError(CodeImageNotFound), nil},
	} {
		got := IgnoreNotFound(c.err, CodeVolumeNotFound, CodeImageNotFound)
		if !errors.Is(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%v becomes %v, want %v", c.err, got, c.want)
		}
	}
	if err := IgnoreNotFound(gone, CodeImageNotFound); !errors.Is(err, gone) {
		t.Errorf("an error with another code becomes %v", err)
	}
}

func TestNotVisibleYet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		again := NotVisibleYet(time.Now(), CodeInstanceNotFound, CodeGroupNotFound)
		for range 2 {
			if !again(apiError(CodeInstanceNotFound)) || !again(apiError(CodeGroupNotFound)) {
				t.Error("what is new is taken for gone")
			}
			if again(apiError("UnauthorizedOperation")) || again(nil) {
				t.Error("another answer counts as not visible yet")
			}
			time.Sleep(VisibleTimeout - time.Second)
		}
		time.Sleep(time.Second)
		if again(apiError(CodeInstanceNotFound)) {
			t.Error("what is gone is never taken for gone")
		}
	})
}

func TestIsWrongState(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false}, {apiError(CodeInstanceState), true}, {apiError(CodeState), true},
		{apiError("UnauthorizedOperation"), false},
		{&smithy.GenericAPIError{Code: "X", Message: "Instance i-1 is not in state 'stopped'"}, true},
	} {
		if got := IsWrongState(c.err); got != c.want {
			t.Errorf("%v: %t, want %t", c.err, got, c.want)
		}
	}
}

func TestAttemptErrorIsThatOfCall(t *testing.T) {
	err := AttemptError("RunInstances", apiError("InternalError"))
	if !strings.HasPrefix(err.Error(), "EC2 refuses RunInstances: ") || !HasCode(err, "InternalError") {
		t.Error(err)
	}
}

// AWS may have room later, but neither a larger quota nor a type in a zone that does not have it.
func TestIsTemporaryCapacityError(t *testing.T) {
	for code, want := range map[string]bool{
		"InsufficientInstanceCapacity": true, "InsufficientFreeAddressesInSubnet": true, "VcpuLimitExceeded": false,
		"Unsupported": false, "SpotMaxPriceTooLow": false, "UnauthorizedOperation": false,
	} {
		err := apiError(code)
		if got := IsTemporaryCapacityError(err); got != want || want && !IsCapacityError(err) {
			t.Errorf("%s: %t", code, got)
		}
	}
}
