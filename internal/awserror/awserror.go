// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package awserror says in words a person can act on what AWS answered a call with: who refused what, why, and what to do.
//
// The SDK's own text is a chain of what its layers went through. The package knows the SDK's errors and AWS' codes; it may
// not know what the calls are for, which is for the caller to say in front.
package awserror

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// wordedError is an error of the SDK's in other words. It wraps the SDK's own, so codes and types are found as before.
type wordedError struct {
	cause error
	text  string
}

func (e *wordedError) Error() string { return e.text }
func (e *wordedError) Unwrap() error { return e.cause }

// InWords returns an error of a call in words, or the error as it is when it is none of a call: nil, or one of this package's.
func InWords(err error) error {
	var operation *smithy.OperationError
	if !errors.As(err, &operation) || errors.Is(err, context.Canceled) {
		return err
	}
	if already := (*wordedError)(nil); errors.As(err, &already) {
		return err
	}
	text := describe(operation, err)
	if remedy := remedy(operation, err); remedy != "" {
		text += ": " + remedy
	}
	return &wordedError{err, text}
}

// describe says who answered what: "EC2 refuses RunInstances: Request limit exceeded. (RequestLimitExceeded)".
func describe(operation *smithy.OperationError, err error) string {
	service, name := operation.ServiceID, operation.OperationName
	var api smithy.APIError
	var text string
	switch {
	case errors.As(err, &api):
		text = fmt.Sprintf("%s refuses %s: %s", service, name, refusal(api))
	case cut(err):
		text = fmt.Sprintf("%s does not answer %s to the end: %s", service, name, innermost(err))
	case unanswered(err):
		text = fmt.Sprintf("%s does not answer %s: %s", service, name, innermost(err))
	case status(err) != 0:
		text = fmt.Sprintf("%s answers %s with %d %s", service, name, status(err), http.StatusText(status(err)))
	default:
		text = fmt.Sprintf("%s %s: %s", service, name, operation.Err)
	}
	return text + circumstances(err)
}

// refusal returns AWS' own sentence and its code. What only AWS itself can read is left out.
func refusal(api smithy.APIError) string {
	message := strings.TrimSpace(encoded.ReplaceAllString(api.ErrorMessage(), ""))
	if message == "" {
		return api.ErrorCode()
	}
	return fmt.Sprintf("%s (%s)", message, api.ErrorCode())
}

var encoded = regexp.MustCompile(`\s*Encoded authorization failure message: [\w-]+`)

// circumstances returns how often it was tried, and what AWS' support asks for of a fault that is AWS'.
func circumstances(err error) string {
	var parts []string
	var attempts *retry.MaxAttemptsError
	if errors.As(err, &attempts) && attempts.Attempt > 1 {
		parts = append(parts, fmt.Sprintf("after %d attempts", attempts.Attempt))
	}
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode() >= http.StatusInternalServerError && response.ServiceRequestID() != "" {
		parts = append(parts, "request "+response.ServiceRequestID())
	}
	if len(parts) == 0 {
		return ""
	}
	return ", " + strings.Join(parts, ", ")
}

// unanswered reports whether no answer came, or not in time.
func unanswered(err error) bool {
	var unsent *smithyhttp.RequestSendError
	return errors.As(err, &unsent) || errors.Is(err, context.DeadlineExceeded)
}

// innermost returns the error without what is around it: the URL of an answer that did not come is the endpoint's.
func innermost(err error) error {
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err
		}
		err = next
	}
}

func status(err error) int {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) && response.Response != nil {
		return response.HTTPStatusCode()
	}
	return 0
}
