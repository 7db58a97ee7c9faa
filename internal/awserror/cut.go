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

// RetryCutAnswers makes calls again whose answer has begun and broken off. To the SDK, an answer that cannot be read is a
// fault of its own, and is not tried again, but a connection can end in the middle of it as well as before. The call may
// have taken effect, as when its answer was lost.
func RetryCutAnswers(o *retry.StandardOptions) {
	o.Retryables = append(slices.Clone(o.Retryables), retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
		if unreadable := (*smithy.DeserializationError)(nil); errors.As(err, &unreadable) { // of a refusal as well
			return aws.TrueTernary
		}
		return aws.UnknownTernary
	}))
}

// cut reports whether AWS has answered that a call succeeded, and what it answered cannot be read.
func cut(err error) bool {
	var unreadable *smithy.DeserializationError
	s := status(err)
	return errors.As(err, &unreadable) && (s == 0 || s == http.StatusOK)
}
