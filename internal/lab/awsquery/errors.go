// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsquery

import (
	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
)

// Errors returns the errors that IAM and STS have in common; internal is the code for internal errors. See
// https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html.
func Errors(internal string) service.Errors {
	const badSignature = "SignatureDoesNotMatch"
	return service.Errors{
		Causes: map[error]apierror.Error{
			service.ErrThrottled: {Code: "Throttling", Message: "Rate exceeded"},
			service.ErrInternal: {
				Code: internal, Message: "The request processing has failed because of an unknown error, exception " +
					"or failure.",
			},
			service.ErrUnavailable: {
				Code: "ServiceUnavailable", Message: "The request has failed due to a temporary failure of the server.",
			},
			service.ErrCredentialsExpired: {Code: "ExpiredToken",
				Message: "The security token included in the request is expired"},
			sigv4.ErrMissing: {Code: "MissingAuthenticationToken",
				Message: "Request is missing Authentication Token"},
			sigv4.ErrUnknownKey: {Code: "InvalidClientTokenId",
				Message: "The security token included in the request is invalid."},
			sigv4.ErrExpired: {Code: badSignature,
				Message: "Signature expired: the request is more than 15 minutes old."},
			sigv4.ErrEarly: {
				Code: badSignature, Message: "Signature not yet current: the request is of more than 15 minutes later.",
			},
			sigv4.ErrScope: {
				Code:    badSignature,
				Message: "Credential should be scoped to a valid region and to the correct service.",
			},
		},
		Unverified: apierror.Error{Code: badSignature, Message: service.SignatureMismatch},
		Denied:     func(d *service.DeniedError) *apierror.Error { return apierror.New("AccessDenied", d.Error()) },
		Internal:   internal,
	}
}
