// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package awserror makes readable error messages of the errors of AWS calls: which service refused which call, why, and
// what to do.
//
// The SDK's own text is a chain of messages of all its layers. The package knows the SDK's errors and the codes of AWS.
// It may not know what the calls are for; the caller adds that.
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

// readableError is an error of the SDK with another text. It wraps the SDK's error, so errors.As finds codes and types.
type readableError struct {
	cause error
	text  string
}

func (e *readableError) Error() string { return e.text }
func (e *readableError) Unwrap() error { return e.cause }

// InWords returns the error of a call with a readable text. It returns other errors unchanged: nil, errors that are not
// of a call, and those that InWords has already returned.
func InWords(err error) error {
	var operation *smithy.OperationError
	if !errors.As(err, &operation) || errors.Is(err, context.Canceled) {
		return err
	}
	if already := (*readableError)(nil); errors.As(err, &already) {
		return err
	}
	text := describe(operation, err)
	if remedy := remedy(operation, err); remedy != "" {
		text += ": " + remedy
	}
	return &readableError{err, text}
}

// describe returns a text such as "EC2 refuses RunInstances: Request limit exceeded. (RequestLimitExceeded)".
func describe(operation *smithy.OperationError, err error) string {
	service, name := operation.ServiceID, operation.OperationName
	var api smithy.APIError
	var text string
	switch {
	case errors.As(err, &api):
		text = fmt.Sprintf("%s refuses %s: %s", service, name, refusal(api))
	case truncated(err):
		text = fmt.Sprintf("%s does not answer %s to the end: %s", service, name, rootCause(err))
	case noAnswer(err):
		text = fmt.Sprintf("%s does not answer %s: %s", service, name, rootCause(err))
	case status(err) != 0:
		text = fmt.Sprintf("%s answers %s with %d %s", service, name, status(err), http.StatusText(status(err)))
	default:
		text = fmt.Sprintf("%s %s: %s", service, name, operation.Err)
	}
	return text + details(err)
}

// refusal returns the message and the code of AWS, without the encoded part that only AWS can read.
func refusal(api smithy.APIError) string {
	message := strings.TrimSpace(encodedMessage.ReplaceAllString(api.ErrorMessage(), ""))
	if message == "" {
		return api.ErrorCode()
	}
	return fmt.Sprintf("%s (%s)", message, api.ErrorCode())
}

var encodedMessage = regexp.MustCompile(`\s*Encoded authorization failure message: [\w-]+`)

// details returns the number of attempts, and for an error of AWS itself the request id, which its support needs.
func details(err error) string {
	var parts []string
	var attempts *retry.MaxAttemptsError
	if errors.As(err, &attempts) && attempts.Attempt > 1 {
		parts = append(parts, fmt.Sprintf("after %d attempts", attempts.Attempt))
	}
	var response *awshttp.ResponseError
	if errors.As(err, &response) && response.HTTPStatusCode() >= http.StatusInternalServerError &&
		response.ServiceRequestID() != "" {
		parts = append(parts, "request "+response.ServiceRequestID())
	}
	if len(parts) == 0 {
		return ""
	}
	return ", " + strings.Join(parts, ", ")
}

// noAnswer reports whether there was no answer, or none in time.
func noAnswer(err error) bool {
	var unsent *smithyhttp.RequestSendError
	return errors.As(err, &unsent) || errors.Is(err, context.DeadlineExceeded)
}

// rootCause returns the innermost error. The outer ones only add the URL of the endpoint.
func rootCause(err error) error {
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
