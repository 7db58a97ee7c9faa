// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sts

import (
	"net/http"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/awsquery"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
)

var stsErrors = newErrors()

func newErrors() service.Errors {
	e := awsquery.Errors("InternalFailure")
	e.Quota = "ServiceQuotaExceededException"
	e.Statuses = map[string]int{
		"AccessDenied":               http.StatusForbidden,
		"ExpiredToken":               http.StatusForbidden,
		"ExpiredTokenException":      http.StatusForbidden,
		"InvalidClientTokenId":       http.StatusForbidden,
		"MissingAuthenticationToken": http.StatusForbidden,
		"RegionDisabledException":    http.StatusForbidden,
		"SignatureDoesNotMatch":      http.StatusForbidden,
		"RequestEntityTooLarge":      http.StatusRequestEntityTooLarge,
		"InternalFailure":            http.StatusInternalServerError,
		"ServiceUnavailable":         http.StatusServiceUnavailable,
	}
	return e
}
