// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsconfig

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/amibakery/packer-plugin-bakery/internal/redact"
)

// Redacted returns a provider that returns the credentials of p, and registers their secrets with package redact, so
// that they are never shown. Credentials of a role are renewed during a bake, and each renewal has new secrets.
func Redacted(p aws.CredentialsProvider) aws.CredentialsProvider { return redacted{p} }

type redacted struct{ aws.CredentialsProvider }

// Retrieve implements aws.CredentialsProvider.
func (p redacted) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := p.CredentialsProvider.Retrieve(ctx)
	redact.Add(c.SecretAccessKey, c.SessionToken)
	return c, err
}
