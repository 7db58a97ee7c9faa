// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsconfig

import (
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
)

// mfaDuration is how long credentials of a role last when they cannot be renewed: the longest that every role allows.
const mfaDuration = time.Hour

// errNoDevice is returned when mfa_code is set without an MFA device.
var errNoDevice = errors.New("mfa_code: find the MFA device the code is of: set its mfa_serial in the profile")

// setProfileMFA makes the SDK use mfa_code for a role of the profile.
func (s *Settings) setProfileMFA(o *stscreds.AssumeRoleOptions) {
	o.TokenProvider = s.mfaToken
	o.Duration = mfaDuration
}

func (s *Settings) mfaToken() (string, error) { return s.MFACode, nil }

// mfaSerial returns the serial number of the MFA device of the profile, or "".
func mfaSerial(cfg aws.Config) string {
	for _, source := range cfg.ConfigSources {
		if shared, ok := source.(config.SharedConfig); ok {
			return shared.MFASerial
		}
	}
	return ""
}
