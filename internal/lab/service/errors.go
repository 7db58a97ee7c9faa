// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package service

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
)

// Causes of an error that every service reports with a code and a message of its own. So are the errors of package
// sigv4, DeniedError, QuotaError and CodeError.
var (
	ErrThrottled   = errors.New("too many requests")
	ErrInternal    = errors.New("internal error")
	ErrUnavailable = errors.New("service is unavailable")
	// ErrCredentialsExpired is the cause when the session of temporary credentials is over.
	ErrCredentialsExpired error = sigv4.ErrSession
)

// The messages of most services for a signature that they refuse.
const (
	SignatureMismatch = "The request signature we calculated does not match the signature you provided. " +
		"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
	SignatureExpired = "Signature expired: the request is more than 15 minutes old."
	SignatureEarly   = "Signature not yet current: the request is of more than 15 minutes later."
	SignatureScope   = "Credential should be scoped to a valid region and to the correct service."
	UnknownToken     = "The security token included in the request is invalid."
	ExpiredToken     = "The security token included in the request is expired"
)

// DeniedError is the cause when no policy allows what a request needs.
type DeniedError struct {
	Sender sigv4.Principal
	Need   iam.Request
}

func (d *DeniedError) Error() string {
	return fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s because no identity-based policy "+
		"allows the %s action",
		d.Sender.ARN, d.Need.Action, d.Need.Resource, d.Need.Action)
}

// QuotaError is the cause when the account has as many as it may have of what an action creates.
type QuotaError struct{ Action string }

func (q QuotaError) Error() string { return "quota of " + q.Action + " is exceeded" }

// CodeError is a cause that names the code to answer with; the service adds the message.
type CodeError string

func (c CodeError) Error() string { return string(c) }

// Errors is how a service reports errors.
type Errors struct {
	// Causes are the errors for the causes above and those of package sigv4.
	Causes map[error]apierror.Error
	// Unverified is for the causes of package sigv4 that are not among Causes.
	Unverified apierror.Error
	// Denied is for missing permissions.
	Denied func(*DeniedError) *apierror.Error
	// Quotas are the codes for exceeded quotas, by action; Quota is the code for all other actions.
	Quotas map[string]string
	Quota  string
	// Messages are for codes that come without a message.
	Messages map[string]string
	// Internal is the code for errors that are none of the above.
	Internal string
	// Statuses are the HTTP statuses of codes; all others have 400.
	Statuses map[string]int
}

// For returns the service's error for a cause.
func (e *Errors) For(cause error) *apierror.Error {
	if known, ok := errors.AsType[*apierror.Error](cause); ok {
		return known
	}
	if code, ok := errors.AsType[CodeError](cause); ok {
		return e.withMessage(string(code))
	}
	if quota, ok := errors.AsType[QuotaError](cause); ok {
		return e.withMessage(cmp.Or(e.Quotas[quota.Action], e.Quota))
	}
	if denied, ok := errors.AsType[*DeniedError](cause); ok {
		return e.Denied(denied)
	}
	for known, answer := range e.Causes {
		if errors.Is(cause, known) {
			return &answer
		}
	}
	if _, ok := errors.AsType[sigv4.VerificationError](cause); ok {
		return &apierror.Error{Code: e.Unverified.Code, Message: e.Unverified.Message}
	}
	return apierror.New(e.Internal, cause.Error())
}

func (e *Errors) withMessage(code string) *apierror.Error {
	return apierror.New(code, cmp.Or(e.Messages[code], "The lab was told to answer so."))
}

// Status returns the HTTP status that goes with an error code.
func (e *Errors) Status(code string) int {
	if status, ok := e.Statuses[code]; ok {
		return status
	}
	return http.StatusBadRequest
}
