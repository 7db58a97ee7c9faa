// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awserror

import (
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func TestRetryWrongClock(t *testing.T) {
	retryer := retry.NewStandard(RetryWrongClock)
	for name, c := range map[string]struct {
		code  string
		ahead time.Duration
		want  bool
	}{
		"a clock that is behind":    {"RequestExpired", 20 * time.Minute, true},
		"credentials that are over": {"RequestExpired", time.Second, false},
		"another refusal":           {"UnauthorizedOperation", 20 * time.Minute, false},
	} {
		response := &http.Response{Header: http.Header{
			"Date": {time.Now().Add(c.ahead).UTC().Format(http.TimeFormat)},
		}}
		err := &smithyhttp.ResponseError{
			Response: &smithyhttp.Response{Response: response}, Err: &smithy.GenericAPIError{Code: c.code},
		}
		if got := retryer.IsErrorRetryable(err); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
