// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awscall

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

func TestNotFoundAfterLostAnswerMeansDeleted(t *testing.T) {
	for name, c := range map[string]struct {
		earlier error // of the attempt before the one that does not find the thing
		again   bool
	}{
		"first attempt":           {nil, true},
		"after a throttled one":   {apiError("RequestLimitExceeded"), true},
		"after a refused one":     {apiError(CodeGroupInUse), true},
		"after a lost answer":     {apiError("RequestTimeout"), false},
		"after an internal error": {apiError("InternalError"), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var attempt Attempt
				o := ec2.Options{Retryer: retry.NewStandard()}
				attempt.Track(&o)
				if c.earlier != nil {
					o.Retryer.IsErrorRetryable(c.earlier)
				}
				again := attempt.UnlessApplied(NotVisibleYet(time.Now(), CodeGroupNotFound))
				if got := again(apiError(CodeGroupNotFound)); got != c.again {
					t.Errorf("the call is made again: %t, want %t", got, c.again)
				}
			})
		})
	}
}

func TestTrackKeepsDecisionOfRetryer(t *testing.T) {
	standard := retry.NewStandard()
	o := ec2.Options{Retryer: standard}
	new(Attempt).Track(&o)
	for _, err := range []error{apiError("RequestTimeout"), apiError("Throttling"), apiError(CodeGroupNotFound)} {
		if got, want := o.Retryer.IsErrorRetryable(err), standard.IsErrorRetryable(err); got != want {
			t.Errorf("%v is retried: %t, want %t", err, got, want)
		}
	}
}
