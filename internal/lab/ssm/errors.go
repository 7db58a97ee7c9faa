// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ssm

import (
	"net/http"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
)

const badSignature = "InvalidSignatureException"

// ssmErrors are from https://docs.aws.amazon.com/systems-manager/latest/APIReference/CommonErrors.html and each
// action's own page.
var ssmErrors = service.Errors{
	Causes: map[error]apierror.Error{
		service.ErrThrottled: {Code: "ThrottlingException", Message: "Rate exceeded"},
		service.ErrInternal:  {Code: "InternalServerError", Message: "An error occurred on the server side."},
		service.ErrUnavailable: {Code: "ServiceUnavailable",
			Message: "The request has failed due to a temporary failure of the server."},
		service.ErrCredentialsExpired: {Code: "ExpiredTokenException", Message: service.ExpiredToken},
		sigv4.ErrMissing: {Code: "MissingAuthenticationTokenException",
			Message: "Missing Authentication Token"},
		sigv4.ErrUnknownKey: {Code: "UnrecognizedClientException", Message: service.UnknownToken},
		sigv4.ErrExpired:    {Code: badSignature, Message: service.SignatureExpired},
		sigv4.ErrEarly:      {Code: badSignature, Message: service.SignatureEarly},
		sigv4.ErrScope:      {Code: badSignature, Message: service.SignatureScope},
	},
	Unverified: apierror.Error{Code: badSignature, Message: service.SignatureMismatch},
	Denied: func(d *service.DeniedError) *apierror.Error {
		return apierror.New("AccessDeniedException", d.Error())
	},
	Quotas:   map[string]string{"PutParameter": "ParameterLimitExceeded"},
	Quota:    "ServiceQuotaExceededException",
	Internal: "InternalServerError",
	Statuses: map[string]int{
		"RequestEntityTooLarge": http.StatusRequestEntityTooLarge,
		"InternalServerError":   http.StatusInternalServerError,
		"InternalFailure":       http.StatusInternalServerError,
		"ServiceUnavailable":    http.StatusServiceUnavailable,
	},
}
