// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"net/http"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
)

const (
	slowDown         = "Please reduce your request rate."
	tokenExpired     = "The provided token has expired."
	tooSkewed        = "The difference between the request time and the current time is too large."
	malformedHeader  = "AuthorizationHeaderMalformed"
	differentRequest = "The request signature we calculated does not match the signature you provided. Check your " +
		"key and signing method."
)

// s3Errors are from https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
var s3Errors = service.Errors{
	Causes: map[error]apierror.Error{
		service.ErrThrottled: {Code: "SlowDown", Message: slowDown},
		service.ErrInternal: {Code: "InternalError",
			Message: "We encountered an internal error. Please try again."},
		service.ErrUnavailable:        {Code: "ServiceUnavailable", Message: "Service is unable to handle request."},
		service.ErrCredentialsExpired: {Code: "ExpiredToken", Message: tokenExpired},
		sigv4.ErrMissing:              {Code: "AccessDenied", Message: "Access Denied"},
		sigv4.ErrUnknownKey: {Code: "InvalidAccessKeyId",
			Message: "The AWS Access Key Id you provided does not exist in our records."},
		sigv4.ErrExpired: {Code: "AccessDenied", Message: "Request has expired"},
		sigv4.ErrHeader: {Code: "AccessDenied",
			Message: "There were headers present in the request which were not signed"},
		sigv4.ErrEarly:  {Code: "AccessDenied", Message: "Request is not valid yet"},
		sigv4.ErrSkewed: {Code: "RequestTimeTooSkewed", Message: tooSkewed},
		sigv4.ErrScope: {Code: malformedHeader,
			Message: "The authorization header is malformed; the region or the service is wrong."},
		sigv4.ErrIncomplete: {Code: malformedHeader, Message: "The authorization you provided is malformed."},
	},
	Unverified: apierror.Error{Code: "SignatureDoesNotMatch", Message: differentRequest},
	Denied:     func(d *service.DeniedError) *apierror.Error { return apierror.New("AccessDenied", d.Error()) },
	Quotas:     map[string]string{"CreateBucket": "TooManyBuckets"},
	Quota:      "ServiceQuotaExceededException",
	Messages: map[string]string{"SlowDown": slowDown, "ExpiredToken": tokenExpired,
		"RequestTimeTooSkewed": tooSkewed},
	Internal: "InternalError",
	Statuses: map[string]int{
		"PermanentRedirect":     http.StatusMovedPermanently,
		"TemporaryRedirect":     http.StatusTemporaryRedirect,
		"AccessDenied":          http.StatusForbidden,
		"AccountProblem":        http.StatusForbidden,
		"AllAccessDisabled":     http.StatusForbidden,
		"InvalidAccessKeyId":    http.StatusForbidden,
		"InvalidObjectState":    http.StatusForbidden,
		"RequestTimeTooSkewed":  http.StatusForbidden,
		"SignatureDoesNotMatch": http.StatusForbidden,
		"NoSuchBucket":          http.StatusNotFound,
		"NoSuchKey":             http.StatusNotFound,
		"NoSuchUpload":          http.StatusNotFound,
		"NoSuchBucketPolicy":    http.StatusNotFound,

		"NoSuchLifecycleConfiguration":         http.StatusNotFound,
		"ObjectLockConfigurationNotFoundError": http.StatusNotFound,
		"InvalidBucketState":                   http.StatusConflict,

		"MethodNotAllowed":           http.StatusMethodNotAllowed,
		"BucketAlreadyExists":        http.StatusConflict,
		"BucketNotEmpty":             http.StatusConflict,
		"OperationAborted":           http.StatusConflict,
		"ConditionalRequestConflict": http.StatusConflict,
		"MissingContentLength":       http.StatusLengthRequired,
		"PreconditionFailed":         http.StatusPreconditionFailed,
		"InvalidRange":               http.StatusRequestedRangeNotSatisfiable,
		"InternalError":              http.StatusInternalServerError,
		"NotImplemented":             http.StatusNotImplemented,
		"ServiceUnavailable":         http.StatusServiceUnavailable,
		"SlowDown":                   http.StatusServiceUnavailable,
	},
}
