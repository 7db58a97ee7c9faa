// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:generate go tool -modfile=../../tools/go.mod packer-sdc struct-markdown
//go:generate go tool -modfile=../../tools/go.mod packer-sdc mapstructure-to-hcl2 -type Settings,AssumeRole,VaultAWSEngine

// Package awsconfig has the settings for the AWS account and region, and makes the AWS SDK's configuration from them.
//
// The settings have the names and meanings of amazon-ebs, so that a template needs no changes. For everything that is
// not set, the SDK's own loader is used: environment, shared files, SSO, web identity, container and instance
// credentials, and AWS_ENDPOINT_URL. The package may not know what the credentials are used for.
package awsconfig

import (
	"errors"
	"fmt"
	"regexp"

	"github.com/amibakery/packer-plugin-bakery/internal/placeholder"
)

// Settings choose the AWS account and region. All of them are optional when the environment of Packer already does
// that, through variables, a shared configuration file, or the role of the machine it runs on.
type Settings struct {
	// The access key of the AWS account. Needs `secret_key` as well. Default: what the AWS SDK finds by itself, in
	// the environment, the shared files, or the role of the machine Packer runs on.
	AccessKey string `mapstructure:"access_key"`
	// The secret key that belongs to `access_key`.
	SecretKey string `mapstructure:"secret_key"`
	// The session token that belongs to `access_key`, when that is a temporary one.
	Token string `mapstructure:"token"`
	// The profile of the shared configuration files to use. Default: the `AWS_PROFILE` environment variable, then
	// `default`.
	Profile string `mapstructure:"profile"`
	// The file that holds the credentials of the profiles. Default: the `AWS_SHARED_CREDENTIALS_FILE` environment
	// variable, then `~/.aws/credentials`.
	SharedCredentialsFile string `mapstructure:"shared_credentials_file"`
	// The region of the machine and of the image, such as `eu-central-1`. Default: the `AWS_REGION` environment
	// variable, then the region of the profile. Without any of these, a build stops with an error.
	Region string `mapstructure:"region"`
	// The IAM role to work as. See [AssumeRole](#assume-role-configuration).
	AssumeRole *AssumeRole `mapstructure:"assume_role"`
	// The code your MFA device shows now, for a role whose trust policy asks for one: that of `assume_role`, or of the
	// profile. The device is the `mfa_serial` of the profile. As a code works once, the role's credentials cannot be
	// renewed, and a bake that takes longer than they last fails: set `duration_seconds` to last for all of it.
	MFACode string `mapstructure:"mfa_code"`
	// Where in HashiCorp Vault to get credentials from. See [VaultAWSEngine](#vault-aws-engine-configuration). Vault is
	// asked when the build begins, and not by `packer validate`. Conflicts with `access_key`.
	VaultAWSEngine *VaultAWSEngine `mapstructure:"vault_aws_engine"`
	// When AWS refuses a call with an encoded message, let AWS decode the message, and put the result into the error.
	// Needs the right to `sts:DecodeAuthorizationMessage`; without it, the error does not change. Default: `false`.
	DecodeAuthZMessages bool `mapstructure:"decode_authorization_messages"`
	// How many times a call to AWS is tried before it fails, including the first time. Default: 10, because the SDK's
	// own 3 are not enough when an account bakes several images at once and AWS throttles it. A throttled launch waits
	// for that many times 20 seconds instead, and for eight minutes at most. A launch for which AWS has no capacity is
	// tried as often, with pauses of up to 20 seconds.
	MaxRetries int `mapstructure:"max_retries"`
	// The URL of EC2's endpoint, for a service with the same interface. Default: that of AWS. To change the endpoints
	// of all services, set the environment variable `AWS_ENDPOINT_URL` instead.
	CustomEndpointEc2 string `mapstructure:"custom_endpoint_ec2"`
	// Do not check the certificates of AWS's endpoints, and allow endpoints without encryption (`http://`) on other
	// computers. Then others on the network can read user data and signed URLs. Default: `false`.
	InsecureSkipTLSVerify bool `mapstructure:"insecure_skip_tls_verify"`
	// Do not check the credentials with AWS before the build starts. Default: `false`.
	SkipCredsValidation bool `mapstructure:"skip_credential_validation"`
	// Do not look for credentials and the region in the metadata service of the machine Packer runs on. Default:
	// `false`.
	SkipMetadataAPICheck bool `mapstructure:"skip_metadata_api_check"`
}

// AssumeRole is the IAM role to work as. All other credentials are used only to assume it.
type AssumeRole struct {
	// The ARN of the role, such as `arn:aws:iam::123456789012:role/baker`. Required within `assume_role`.
	RoleARN string `mapstructure:"role_arn" required:"true"`
	// How long the role's credentials are valid, in seconds, between 900 and 43200. They are renewed before they
	// expire, but a URL that was signed with them expires together with them: with `staging`, they must last for
	// `instance_timeout` and 10 minutes more, and a bake of which they cannot is refused before its launch. AWS allows
	// no more than the maximum session duration of the role, and 3600 for a role that another role assumes. Default:
	// 3600, or what `instance_timeout` needs when that is more.
	DurationSeconds int `mapstructure:"duration_seconds"`
	// The external id the role's trust policy asks for.
	ExternalID string `mapstructure:"external_id"`
	// A policy in JSON that narrows what the role may do.
	Policy string `mapstructure:"policy"`
	// ARNs of managed policies that narrow what the role may do.
	PolicyARNs []string `mapstructure:"policy_arns"`
	// The name of the session, as it is seen in CloudTrail: 2 to 64 letters, digits and `_ + = , . @ -`. Default:
	// `packer-plugin-bakery`.
	SessionName string `mapstructure:"session_name"`
	// Tags of the session.
	Tags map[string]string `mapstructure:"tags"`
	// The keys of `tags` that are passed on to further roles.
	TransitiveTagKeys []string `mapstructure:"transitive_tag_keys"`
}

// Prepare sets defaults and returns everything that is wrong with the settings, without any network call and without
// reading a file.
func (s *Settings) Prepare() []error {
	var errs []error
	if s.MaxRetries == 0 {
		s.MaxRetries = defaultMaxRetries
	}
	if s.MaxRetries < 0 {
		errs = append(errs, errors.New("max_retries is below 0; leave it out for the default of 10"))
	}
	if (s.AccessKey == "") != (s.SecretKey == "") && s.AccessKey != placeholder.Unknown &&
		s.SecretKey != placeholder.Unknown {
		errs = append(errs, errors.New("access_key and secret_key belong together: set both, or none"))
	}
	if s.Token != "" && s.Token != placeholder.Unknown && s.AccessKey == "" {
		errs = append(errs, errors.New("token belongs to an access_key and a secret_key: set all three, or none"))
	}
	if s.AssumeRole != nil {
		errs = append(errs, s.AssumeRole.prepare()...)
	}
	if s.VaultAWSEngine != nil {
		if s.AccessKey != "" && s.AccessKey != placeholder.Unknown {
			errs = append(errs, errors.New("vault_aws_engine and access_key exclude each other: keep one of them"))
		}
		errs = append(errs, s.VaultAWSEngine.prepare()...)
	}
	return errs
}

// What sts:AssumeRole takes: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html. The path of a
// role may have all printable characters of ASCII.
var (
	roleARN     = regexp.MustCompile(`^arn:[a-z0-9-]+:iam::\d{12}:role/[!-~]+$`)
	sessionName = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)
)

func (r *AssumeRole) prepare() []error {
	var errs []error
	switch {
	case r.RoleARN == "":
		errs = append(errs, errors.New("assume_role: role_arn is missing"))
	case !placeholder.In(r.RoleARN) && !roleARN.MatchString(r.RoleARN):
		errs = append(errs, fmt.Errorf("assume_role: role_arn is %q; it must be the ARN of a role, such as "+
			"arn:aws:iam::123456789012:role/baker", r.RoleARN))
	}
	if d := r.DurationSeconds; d != 0 && (d < 900 || d > 43200) { // the limits of STS
		errs = append(errs, fmt.Errorf("assume_role: duration_seconds is %d; it must be between 900 and 43200", d))
	}
	if r.SessionName == "" {
		r.SessionName = appID
	}
	if !placeholder.In(r.SessionName) && !sessionName.MatchString(r.SessionName) {
		errs = append(errs, fmt.Errorf("assume_role: session_name is %q; it must have 2 to 64 letters, digits and "+
			"_ + = , . @ -", r.SessionName))
	}
	return errs
}

// Secrets returns the values that must not appear in any log.
func (s *Settings) Secrets() []string {
	var secrets []string
	for _, v := range []string{s.SecretKey, s.Token, s.MFACode} {
		if v != "" && v != placeholder.Unknown {
			secrets = append(secrets, v)
		}
	}
	return secrets
}
