// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"
)

func TestWhatIsNotFoundAfterALostAnswerIsGone(t *testing.T) {
	refused := func(code string) error { return &smithy.GenericAPIError{Code: code} }
	for name, c := range map[string]struct {
		attempt error // before the one that does not find the thing
		again   bool
	}{
		"EC2 may not know it yet":           {nil, true},
		"after being throttled, it may not": {refused("RequestLimitExceeded"), true},
		"the answer was lost":               {refused("RequestTimeout"), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var r removal
				o := ec2.Options{Retryer: retry.NewStandard()}
				r.noted(&o)
				if c.attempt != nil {
					o.Retryer.IsErrorRetryable(c.attempt)
				}
				again := r.unlessLost(notYet(time.Now(), codeGroupNotFound))
				if got := again(refused(codeGroupNotFound)); got != c.again {
					t.Errorf("it is called again: %t", got)
				}
			})
		})
	}
}
