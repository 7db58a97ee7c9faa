// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package apierror is the one error that all services of the lab answer with. It may not know any service, nor how an
// error looks on the wire: each service has its own HTTP status and document for a code.
package apierror

import "fmt"

// Error is an error of an AWS API. Code is one that the service documents, such as InvalidAMIID.NotFound.
type Error struct {
	Code    string
	Message string
}

// New returns an Error.
func New(code, message string) *Error { return &Error{Code: code, Message: message} }

// Errorf returns an Error with a formatted message.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }
