// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsconfig

import (
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
)

// errNoDevice is returned when mfa_code is set without an MFA device.
var errNoDevice = errors.New("mfa_code: find the MFA device the code is of: set its mfa_serial in the profile")

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
