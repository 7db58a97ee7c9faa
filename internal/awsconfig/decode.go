// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsconfig

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// encodedMessage matches the part of EC2's errors that only AWS can decode.
var encodedMessage = regexp.MustCompile(`Encoded authorization failure message: ([\w-]+)`)

// decodeCall is the call sts:DecodeAuthorizationMessage.
type decodeCall func(
	context.Context, *sts.DecodeAuthorizationMessageInput, ...func(*sts.Options),
) (*sts.DecodeAuthorizationMessageOutput, error)

// withDecodedErrors returns a copy of cfg whose clients decode the authorization messages in errors.
func withDecodedErrors(cfg aws.Config) aws.Config {
	decode := decodeCall(sts.NewFromConfig(cfg).DecodeAuthorizationMessage)
	cfg = cfg.Copy()
	// The first step of the middleware gets the error after all attempts.
	cfg.APIOptions = append(cfg.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc(
			"DecodeAuthorizationMessage",
			func(
				ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
			) (middleware.InitializeOutput, middleware.Metadata, error) {
				out, metadata, err := next.HandleInitialize(ctx, in)
				return out, metadata, decode.decoded(ctx, err)
			},
		), middleware.Before)
	})
	return cfg
}

// decoded returns err with its message decoded, or err itself when there is none or it cannot be decoded.
func (decode decodeCall) decoded(ctx context.Context, err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != "UnauthorizedOperation" {
		return err
	}
	found := encodedMessage.FindStringSubmatch(err.Error())
	if found == nil {
		return err
	}
	out, decodeErr := decode(ctx, &sts.DecodeAuthorizationMessageInput{EncodedMessage: aws.String(found[1])})
	if decodeErr != nil {
		return err
	}
	decodedMessage := "Authorization failure message: " + aws.ToString(out.DecodedMessage)
	return &decodedError{
		cause: err, text: strings.Replace(err.Error(), found[0], decodedMessage, 1),
		APIError: &smithy.GenericAPIError{
			Code: api.ErrorCode(), Message: strings.Replace(api.ErrorMessage(), found[0], decodedMessage, 1),
			Fault: api.ErrorFault(),
		},
	}
}

// decodedError is an error of AWS with a decoded message.
type decodedError struct {
	smithy.APIError

	cause error
	text  string
}

func (e *decodedError) Error() string { return e.text }
func (e *decodedError) Unwrap() error { return e.cause }
