// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awserror

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// wrongClock is how far this computer's clock must be off for the answer of AWS to be about that, as for the SDK.
const wrongClock = 4 * time.Minute

// RetryWrongClock makes the SDK retry a call that EC2 refuses because this computer's clock is behind: EC2 says that
// the request has expired, as it does of credentials, and the SDK gives up then. It knows AWS's time from the answer,
// and signs the next attempt with it.
func RetryWrongClock(o *retry.StandardOptions) {
	o.Retryables = append(slices.Clone(o.Retryables), retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
		api, isAPI := errors.AsType[smithy.APIError](err)
		answer, isAnswer := errors.AsType[*smithyhttp.ResponseError](err)
		if !isAPI || !isAnswer || api.ErrorCode() != "RequestExpired" || answer.Response == nil {
			return aws.UnknownTernary
		}
		date, err := http.ParseTime(answer.Response.Header.Get("Date"))
		return aws.BoolTernary(err == nil && time.Since(date).Abs() > wrongClock)
	}))
}
