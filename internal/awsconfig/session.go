// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsconfig

import (
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/smithy-go"

	"github.com/amibakery/packer-plugin-bakery/internal/awserror"
)

// The limits of sessions of roles: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html. Every role
// allows an hour. A longer session needs a longer MaxSessionDuration of the role, and is not lent to the credentials of
// another role at all.
const (
	normalSession  = time.Hour
	LongestSession = 12 * time.Hour // of any role
)

// sessionMargin is how much longer a session is than what it is needed for, because its credentials are a moment old
// when they are used.
const sessionMargin = 5 * time.Minute

// sessionLength returns how long a session of a role to ask for, when its credentials have to last for a time. It is
// STS's own default, an hour, unless that is not enough: the SDK would ask for 15 minutes.
func sessionLength(need time.Duration) time.Duration {
	if need <= normalSession {
		return normalSession
	}
	return min(need+sessionMargin, LongestSession)
}

// RefusedSession returns an error in words when STS has refused a session of a role for its duration, and nil for any
// other error. A role says how long its sessions may be; a session that another role's session asks for may be an hour.
func RefusedSession(err error) error {
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok || api.ErrorCode() != "ValidationError" || !strings.Contains(api.ErrorMessage(), "DurationSeconds") {
		return nil
	}
	return awserror.InWords(err)
}

// profileRole returns the settings of the roles of profiles that the profile does not set.
func (s *Settings) profileRole(session time.Duration) func(*stscreds.AssumeRoleOptions) {
	return func(o *stscreds.AssumeRoleOptions) {
		if s.MFACode != "" {
			o.TokenProvider = s.mfaToken
		}
		if o.Duration == 0 {
			o.Duration = session
		}
	}
}

// webIdentityRole is profileRole for a role that is assumed with a token of an identity provider.
func webIdentityRole(session time.Duration) func(*stscreds.WebIdentityRoleOptions) {
	return func(o *stscreds.WebIdentityRoleOptions) {
		if o.Duration == 0 {
			o.Duration = session
		}
	}
}
