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

// mfaDuration is how long a role's credentials last that cannot be renewed: the most that every role allows.
const mfaDuration = time.Hour

// errNoDevice says what mfa_code lacks.
var errNoDevice = errors.New("mfa_code: find the MFA device the code is of: set its mfa_serial in the profile")

// profileCode is mfa_code for a role of the profile's.
func (s *Settings) profileCode(o *stscreds.AssumeRoleOptions) {
	o.TokenProvider = s.code
	o.Duration = mfaDuration
}

func (s *Settings) code() (string, error) { return s.MFACode, nil }

// device returns the serial number of the MFA device the profile names, or "".
func device(cfg aws.Config) string {
	for _, source := range cfg.ConfigSources {
		if shared, ok := source.(config.SharedConfig); ok {
			return shared.MFASerial
		}
	}
	return ""
}
