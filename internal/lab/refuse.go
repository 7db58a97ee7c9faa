// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/ec2"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iamapi"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/s3"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/ssm"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sts"
)

// refusal is an error before it is written in its service's form.
type refusal struct {
	status        int
	code, message string
}

func (x *exchange) refuse(f refusal) {
	x.code = f.code
	switch x.service {
	case "s3":
		x.status = f.status
		s3.Refuse(x.w, x.r, f.status, f.code, f.message)
	case "sts":
		x.answer(f.status, "text/xml", sts.Refusal(&sts.Error{Code: f.code, Message: f.message}))
	case "iam":
		_, body := iamapi.Refusal(&iamapi.Error{Code: f.code, Message: f.message})
		x.answer(f.status, "text/xml", body)
	case "ssm":
		x.answer(f.status, jsonType, ssm.Refusal(&ssm.Error{Code: f.code, Message: f.message}))
	default:
		_, body := ec2.Refusal(&cloud.Error{Code: f.code, Message: f.message})
		x.answer(f.status, "text/xml;charset=UTF-8", body)
	}
}

// unverified is how each service words that it does not know who is asking.
var unverified = map[string]map[error]refusal{
	"ec2": {
		sigv4.ErrExpired: {http.StatusBadRequest, "RequestExpired", "Request has expired."},
		nil:              {http.StatusUnauthorized, "AuthFailure", "AWS was not able to validate the provided access credentials"},
	},
	"sts": {
		sigv4.ErrMissing:    {http.StatusForbidden, "MissingAuthenticationToken", "Request is missing Authentication Token"},
		sigv4.ErrUnknownKey: {http.StatusForbidden, "InvalidClientTokenId", "The security token included in the request is invalid."},
		sigv4.ErrExpired:    {http.StatusForbidden, "SignatureDoesNotMatch", "Signature expired: the request is more than 15 minutes old."},
		sigv4.ErrEarly:      {http.StatusForbidden, "SignatureDoesNotMatch", "Signature not yet current: the request is of more than 15 minutes later."},
		sigv4.ErrScope:      {http.StatusForbidden, "SignatureDoesNotMatch", "Credential should be scoped to a valid region and to the correct service."},
		nil: {http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. " +
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."},
	},
	"ssm": {
		sigv4.ErrMissing:    {http.StatusBadRequest, "MissingAuthenticationTokenException", "Missing Authentication Token"},
		sigv4.ErrUnknownKey: {http.StatusBadRequest, "UnrecognizedClientException", "The security token included in the request is invalid."},
		sigv4.ErrExpired:    {http.StatusBadRequest, "InvalidSignatureException", "Signature expired: the request is more than 15 minutes old."},
		sigv4.ErrEarly:      {http.StatusBadRequest, "InvalidSignatureException", "Signature not yet current: the request is of more than 15 minutes later."},
		sigv4.ErrScope:      {http.StatusBadRequest, "InvalidSignatureException", "Credential should be scoped to a valid region and to the correct service."},
		nil: {http.StatusBadRequest, "InvalidSignatureException", "The request signature we calculated does not match the signature you provided. " +
			"Check your AWS Secret Access Key and signing method. Consult the service documentation for details."},
	},
	"s3": {
		sigv4.ErrMissing:    {http.StatusForbidden, "AccessDenied", "Access Denied"},
		sigv4.ErrUnknownKey: {http.StatusForbidden, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."},
		sigv4.ErrExpired:    {http.StatusForbidden, "AccessDenied", "Request has expired"},
		sigv4.ErrEarly:      {http.StatusForbidden, "AccessDenied", "Request is not valid yet"},
		sigv4.ErrSkewed:     {http.StatusForbidden, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large."},
		sigv4.ErrScope:      {http.StatusBadRequest, "AuthorizationHeaderMalformed", "The authorization header is malformed; the region or the service is wrong."},
		sigv4.ErrIncomplete: {http.StatusBadRequest, "AuthorizationHeaderMalformed", "The authorization you provided is malformed."},
		nil: {http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. " +
			"Check your key and signing method."},
	},
}

// refusalOf words an error of reading or verifying a request.
func refusalOf(service string, err error) refusal {
	if refused := (*cloud.Error)(nil); errors.As(err, &refused) {
		return refusal{http.StatusBadRequest, refused.Code, refused.Message}
	}
	if refused := (*iamapi.Error)(nil); errors.As(err, &refused) {
		return refusal{iamapi.Status(refused.Code), refused.Code, refused.Message}
	}
	if service == "iam" { // as STS does
		service = "sts"
	}
	words := unverified[service]
	for known, f := range words {
		if known != nil && errors.Is(err, known) {
			return f
		}
	}
	return words[nil]
}

// deny words that a policy does not allow an action.
func deny(service string, denied iam.Request, who sigv4.Principal) refusal {
	action := denied.Action
	because := fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action",
		who.ARN, action, denied.Resource, action)
	switch service {
	case "ec2":
		return refusal{http.StatusForbidden, "UnauthorizedOperation",
			"You are not authorized to perform this operation. " + because + ". Encoded authorization failure message: " + sts.Encode(action)}
	case "ssm":
		return refusal{http.StatusBadRequest, "AccessDeniedException", because}
	}
	return refusal{http.StatusForbidden, "AccessDenied", because}
}
