// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awserror

import (
	"errors"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
)

// RetryCutAnswers makes the SDK retry a call whose answer was truncated. The SDK itself does not retry when it cannot
// parse an answer, but the connection may have been lost in the middle of it. As with every lost answer, the call may
// have taken effect.
func RetryCutAnswers(o *retry.StandardOptions) {
	o.Retryables = append(slices.Clone(o.Retryables), retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
		if unreadable := (*smithy.DeserializationError)(nil); errors.As(err,
			&unreadable) { // also for the answer of a refused call
			return aws.TrueTernary
		}
		return aws.UnknownTernary
	}))
}

// truncated reports whether AWS has answered with success, but the answer cannot be parsed.
func truncated(err error) bool {
	var unreadable *smithy.DeserializationError
	s := status(err)
	return errors.As(err, &unreadable) && (s == 0 || s == http.StatusOK)
}
