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
			service.ErrCredentialsExpired: {Code: "ExpiredToken", Message: service.ExpiredToken},
			sigv4.ErrMissing: {Code: "MissingAuthenticationToken",
				Message: "Request is missing Authentication Token"},
			sigv4.ErrUnknownKey: {Code: "InvalidClientTokenId", Message: service.UnknownToken},
			sigv4.ErrExpired:    {Code: badSignature, Message: service.SignatureExpired},
			sigv4.ErrEarly:      {Code: badSignature, Message: service.SignatureEarly},
			sigv4.ErrScope:      {Code: badSignature, Message: service.SignatureScope},
		},
		Unverified: apierror.Error{Code: badSignature, Message: service.SignatureMismatch},
		Denied:     func(d *service.DeniedError) *apierror.Error { return apierror.New("AccessDenied", d.Error()) },
		Internal:   internal,
	}
}
