// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsconfig

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go/middleware"

	"github.com/amibakery/packer-plugin-bakery/internal/awserror"
)

const (
	// appID is added to the user agent of every call, so that CloudTrail shows who made it.
	appID = "packer-plugin-bakery"

	// defaultMaxRetries is that of amazon-ebs, where three attempts "regularly get tripped" (access_config.go).
	defaultMaxRetries = 10
)

// ErrNoRegion is returned when neither the template nor the environment sets a region.
var ErrNoRegion = errors.New(
	"find the AWS region: set region in the template, AWS_REGION in the environment, or the region of the profile")

// Load makes the SDK's configuration from the settings and the environment. It reads the shared files. It calls the
// metadata service only when there is no other source of a region, and STS only when credentials are used. need is how
// long the credentials have to last, for URLs that are signed with them; 0 when none are.
func (s *Settings) Load(ctx context.Context, need time.Duration) (aws.Config, error) {
	session := sessionLength(need)
	cfg, err := config.LoadDefaultConfig(ctx, s.options(session)...)
	if err != nil {
		return aws.Config{}, fmt.Errorf("load the AWS configuration: %w", err)
	}
	if cfg.Region == "" && !s.SkipMetadataAPICheck {
		cfg.Region = ownRegion(ctx, cfg)
	}
	if cfg.Region == "" {
		return aws.Config{}, ErrNoRegion
	}
	if err := s.loadCredentials(ctx, &cfg, session); err != nil {
		return aws.Config{}, err
	}
	if s.DecodeAuthZMessages {
		cfg = withDecodedErrors(cfg)
	}
	return cfg, nil
}

// loadCredentials replaces the credentials that the SDK has found, when the settings name others. session is how long
// those of a role last, unless a setting says that.
func (s *Settings) loadCredentials(ctx context.Context, cfg *aws.Config, session time.Duration) error {
	if s.VaultAWSEngine != nil {
		provider, err := s.VaultAWSEngine.credentials(ctx)
		if err != nil {
			return err
		}
		cfg.Credentials = provider
	}
	if s.AssumeRole == nil {
		return nil
	}
	serial := mfaSerial(*cfg)
	if s.MFACode != "" && serial == "" {
		return errNoDevice
	}
	cfg.Credentials = aws.NewCredentialsCache(s.AssumeRole.provider(*cfg, func(o *stscreds.AssumeRoleOptions) {
		if s.MFACode != "" {
			o.SerialNumber, o.TokenProvider = aws.String(serial), s.mfaToken
		}
		if o.Duration == 0 {
			o.Duration = session
		}
	}))
	return nil
}

// ownRegion returns the region of this machine from the metadata service, or "" when there is none. The timeout is a
// second, because the service answers within milliseconds.
func ownRegion(ctx context.Context, cfg aws.Config) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	out, err := imds.NewFromConfig(cfg).GetRegion(ctx, &imds.GetRegionInput{})
	if err != nil {
		return ""
	}
	return out.Region
}

func (s *Settings) options(session time.Duration) []func(*config.LoadOptions) error {
	opts := []func(*config.LoadOptions) error{
		config.WithAppID(appID),
		config.WithRetryer(s.retryer),
		config.WithAssumeRoleCredentialOptions(s.profileRole(session)),
		config.WithWebIdentityRoleCredentialOptions(webIdentityRole(session)),
	}
	if s.Region != "" {
		opts = append(opts, config.WithRegion(s.Region))
	}
	if s.Profile != "" {
		opts = append(opts, config.WithSharedConfigProfile(s.Profile))
	}
	if s.SharedCredentialsFile != "" {
		opts = append(opts, config.WithSharedCredentialsFiles([]string{s.SharedCredentialsFile}))
	}
	if s.AccessKey != "" {
		provider := credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, s.Token)
		opts = append(opts, config.WithCredentialsProvider(provider))
	}
	if s.SkipMetadataAPICheck {
		opts = append(opts, config.WithEC2IMDSClientEnableState(imds.ClientDisabled))
	}
	opts = append(opts, config.WithHTTPClient(s.httpClient()))
	stackOptions := []func(*middleware.Stack) error{limitAnswers}
	if !s.InsecureSkipTLSVerify {
		stackOptions = append(stackOptions, requireTLS)
	}
	return append(opts, config.WithAPIOptions(stackOptions))
}

// retryer returns a retryer with the number of attempts of the template and growing pauses. It has no quota of retries,
// which would make even the only caller of a throttled account give up. It does not use the SDK's adaptive mode, whose
// limiter loops with sleeps of length zero (aws/retry/adaptive.go), and also throttles the clean-up.
func (s *Settings) retryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = s.MaxRetries
		o.RateLimiter = ratelimit.None
	}, awserror.RetryCutAnswers, awserror.RetryWrongClock)
}

// answerTimeout is how long AWS may take to begin its answer before the call is retried. The SDK has no limit, so a
// broken connection would stop a bake for ever. The value is that of the AWS CLI.
const answerTimeout = time.Minute

func (s *Settings) httpClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.ResponseHeaderTimeout = answerTimeout
		if !s.InsecureSkipTLSVerify {
			return
		}
		if t.TLSClientConfig == nil {
			t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		t.TLSClientConfig.InsecureSkipVerify = true
	})
}

func (r *AssumeRole) provider(cfg aws.Config, with func(*stscreds.AssumeRoleOptions)) aws.CredentialsProvider {
	return stscreds.NewAssumeRoleProvider(sts.NewFromConfig(cfg), r.RoleARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName = r.SessionName
		o.Duration = time.Duration(r.DurationSeconds) * time.Second
		o.TransitiveTagKeys = r.TransitiveTagKeys
		if r.ExternalID != "" {
			o.ExternalID = aws.String(r.ExternalID)
		}
		if r.Policy != "" {
			o.Policy = aws.String(r.Policy)
		}
		for _, arn := range r.PolicyARNs {
			o.PolicyARNs = append(o.PolicyARNs, ststypes.PolicyDescriptorType{Arn: aws.String(arn)})
		}
		for k, v := range r.Tags {
			o.Tags = append(o.Tags, ststypes.Tag{Key: aws.String(k), Value: aws.String(v)})
		}
		with(o)
	})
}

// EC2 returns a client of EC2 that uses custom_endpoint_ec2. It is not a method of the settings: reflection may call
// any method of the settings, so the linker would include every call of EC2 in the plugin.
func EC2(cfg aws.Config, s *Settings) *ec2.Client {
	return ec2.NewFromConfig(cfg, func(o *ec2.Options) {
		if s.CustomEndpointEc2 != "" {
			o.BaseEndpoint = aws.String(s.CustomEndpointEc2)
		}
	})
}
