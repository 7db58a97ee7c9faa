// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package awscall is the calls of AWS that the plugin makes: each bound on its own, with errors a person can read, and
// with what all callers need around a call: its error classes, retries, polling, throttling and filters.
//
// The package knows the AWS SDK. It may not know what the calls are made for: settings, bakes, Packer.
//
// A client of the SDK must never become the value of an interface. Packer's SDK uses text/template, which calls methods
// by their names, so the linker keeps every method of everything that is in an interface: with the 700 calls of EC2 and
// their types, the plugin would be 40 MB larger. A struct of func fields keeps only the calls it names.
package awscall

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/amibakery/packer-plugin-bakery/internal/awserror"
)

// Clients are the services of one account and region.
type Clients struct {
	Config aws.Config
	EC2    *EC2
	IAM    *IAM
	SSM    *SSM
	STS    *STS

	ec2In func(region string) *EC2
}

// SSM is the calls of an *ssm.Client that the plugin makes.
type SSM struct {
	GetParameter func(context.Context, *ssm.GetParameterInput, ...func(*ssm.Options)) (*ssm.GetParameterOutput, error)
}

// STS is the calls of an *sts.Client that the plugin makes.
type STS struct {
	GetCallerIdentity func(
		context.Context, *sts.GetCallerIdentityInput, ...func(*sts.Options),
	) (*sts.GetCallerIdentityOutput, error)
}

// New binds the services. newEC2 makes the client of EC2, for the build's region and for others.
func New(cfg aws.Config, newEC2 func(aws.Config) *ec2.Client) Clients {
	return Clients{
		Config: cfg,
		EC2:    BindEC2(newEC2(cfg)),
		IAM:    BindIAM(iam.NewFromConfig(cfg)),
		SSM:    &SSM{GetParameter: readable(ssm.NewFromConfig(cfg).GetParameter)},
		STS:    &STS{GetCallerIdentity: readable(sts.NewFromConfig(cfg).GetCallerIdentity)},
		ec2In: func(region string) *EC2 {
			cfg := cfg.Copy()
			cfg.Region = region
			return BindEC2(newEC2(cfg))
		},
	}
}

// Region is the region of the clients.
func (c *Clients) Region() string { return c.Config.Region }

// EC2In returns the EC2 of a region, with the credentials, the endpoint and the retries of these clients.
func (c *Clients) EC2In(region string) *EC2 {
	if region == c.Config.Region {
		return c.EC2
	}
	return c.ec2In(region)
}

// readable returns a call whose errors say in words what AWS answered.
func readable[I, O, Options any](
	call func(context.Context, *I, ...func(*Options)) (*O, error),
) func(context.Context, *I, ...func(*Options)) (*O, error) {
	return func(ctx context.Context, in *I, opts ...func(*Options)) (*O, error) {
		out, err := call(ctx, in, opts...)
		return out, awserror.InWords(err)
	}
}
