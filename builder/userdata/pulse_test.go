// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
)

func TestPollsSlowDownWhileTheyAreThrottled(t *testing.T) {
	var p pulse
	o := ec2.Options{Retryer: standardRetryer}
	p.once(&o)
	refused := &smithy.GenericAPIError{Code: "RequestLimitExceeded"}
	next := p.stretch(every(5 * time.Second))
	var got []time.Duration
	for _, err := range []error{nil, refused, refused, refused, refused, refused, nil, nil, nil, nil, nil, nil} {
		if err != nil && o.Retryer.IsErrorRetryable(err) {
			t.Error("a throttled poll is tried again at once")
		}
		got = append(got, next()/time.Second)
	}
	want := []time.Duration{5, 10, 20, 40, 60, 60, 60, 40, 20, 10, 5, 5}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the waits in seconds (-want +got):\n%s", diff)
	}
	if !o.Retryer.IsErrorRetryable(&smithy.GenericAPIError{Code: "InternalError", Fault: smithy.FaultServer}) && o.RetryMaxAttempts != 2 {
		t.Error("a poll that AWS fails to answer is not tried again")
	}
}

func TestThrottlingIsToldFromOtherRefusals(t *testing.T) {
	for code, want := range map[string]bool{
		"RequestLimitExceeded": true, "Throttling": true, "ThrottlingException": true, "SlowDown": true,
		"InternalError": false, "InsufficientInstanceCapacity": false, "UnauthorizedOperation": false,
	} {
		if got := throttled(&smithy.GenericAPIError{Code: code}); got != want {
			t.Errorf("%s: %v, want %v", code, got, want)
		}
	}
	if throttled(nil) || throttled(errors.New("reset")) {
		t.Error("what is no answer of AWS's counts as throttling")
	}
}

var _ aws.Retryer = listener{}

func TestTheEndOfAWaitSaysWhyAWSDidNotAnswer(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	throttled := errors.New("throttled")
	end := errors.New("instance_timeout is over")
	for name, c := range map[string]struct {
		rounds func(*pulse)
		want   string
	}{
		"it answered":         {func(p *pulse) { p.heard(t.Context(), throttled); p.heard(t.Context(), nil) }, "instance_timeout is over"},
		"it did not":          {func(p *pulse) { p.heard(t.Context(), throttled) }, "instance_timeout is over; AWS did not say: throttled"},
		"and was broken off":  {func(p *pulse) { p.heard(t.Context(), throttled); p.heard(over, nil) }, "instance_timeout is over; AWS did not say: throttled"},
		"and was, nearly":     {func(p *pulse) { p.heard(t.Context(), throttled); p.heard(t.Context(), context.DeadlineExceeded) }, "instance_timeout is over; AWS did not say: throttled"},
		"it never did at all": {func(p *pulse) { p.heard(t.Context(), context.DeadlineExceeded) }, "instance_timeout is over; AWS did not say: context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			p := new(pulse)
			c.rounds(p)
			if got := p.lastly(end).Error(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
