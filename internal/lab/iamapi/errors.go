// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package iamapi

import (
	"net/http"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/awsquery"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
)

var iamErrors = newErrors()

// newErrors returns IAM's errors: https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html, and each
// action's own page.
func newErrors() service.Errors {
	e := awsquery.Errors("ServiceFailure")
	e.Quota = "LimitExceeded"
	e.Messages = map[string]string{"LimitExceeded": "Cannot exceed quota for RolesPerAccount: 1000"}
	e.Statuses = map[string]int{
		"NoSuchEntity":                  http.StatusNotFound,
		"EntityAlreadyExists":           http.StatusConflict,
		"DeleteConflict":                http.StatusConflict,
		"LimitExceeded":                 http.StatusConflict,
		"ConcurrentModification":        http.StatusConflict,
		"EntityTemporarilyUnmodifiable": http.StatusConflict,
		"AccessDenied":                  http.StatusForbidden,
		"ExpiredToken":                  http.StatusForbidden,
		"InvalidClientTokenId":          http.StatusForbidden,
		"MissingAuthenticationToken":    http.StatusForbidden,
		"SignatureDoesNotMatch":         http.StatusForbidden,
		"OptInRequired":                 http.StatusForbidden,
		"RequestEntityTooLarge":         http.StatusRequestEntityTooLarge,
		"ServiceFailure":                http.StatusInternalServerError,
		"InternalFailure":               http.StatusInternalServerError,
		"ServiceUnavailable":            http.StatusServiceUnavailable,
	}
	return e
}
