// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsfake

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// Config returns what the SDK's clients need to talk to the account.
func (a *Account) Config() aws.Config {
	const maxRetries = 10 // the default of the setting max_retries
	return aws.Config{
		Region: Region, HTTPClient: a, RetryMaxAttempts: maxRetries + 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDTESTTESTTEST", "secret-of-the-test", ""),
	}
}

// Clients returns the calls of the account, in Region.
func (a *Account) Clients() awscall.Clients {
	return awscall.New(a.Config(), func(cfg aws.Config) *ec2.Client { return ec2.NewFromConfig(cfg) })
}
