// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsconfig

import (
	"context"
	"os"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/amibakery/packer-plugin-bakery/internal/redact"
)

// Credentials are those of a build. Their secrets are registered with package redact, so that they are never shown:
// credentials of a role are renewed during a bake, and each renewal has new secrets.
type Credentials struct {
	source aws.CredentialsProvider
	isOnce bool // they cannot be renewed

	mu   sync.Mutex
	last aws.Credentials
}

// NewCredentials returns the credentials of a provider: that of a configuration that Load has made of s.
func (s *Settings) NewCredentials(p aws.CredentialsProvider) *Credentials {
	return &Credentials{source: p, isOnce: s.MFACode != ""}
}

// Retrieve implements aws.CredentialsProvider. When the source has none, it returns those it had before, as long as
// they are valid.
func (c *Credentials) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := c.source.Retrieve(ctx)
	found = withExpiryOfEnvironment(found)
	redact.Add(found.SecretAccessKey, found.SessionToken)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && ctx.Err() == nil && c.last.HasKeys() && time.Now().Before(c.last.Expires) {
		return c.last, nil
	}
	if err == nil {
		c.last = found
	}
	return found, err
}

// Lasting returns credentials that last for a time from now on, if there are any: when those at hand do not, it asks
// the source for new ones. The caller has to look at what it gets.
func (c *Credentials) Lasting(ctx context.Context, need time.Duration) (aws.Credentials, error) {
	found, err := c.Retrieve(ctx)
	if err != nil || c.isOnce || !found.CanExpire || time.Until(found.Expires) >= need {
		return found, err
	}
	if cache, ok := c.source.(interface{ Invalidate() }); ok {
		cache.Invalidate()
	}
	return c.Retrieve(ctx)
}

// expiryVariable says when the credentials in the environment expire. Programs that lend credentials set it, such as
// aws configure export-credentials; the SDK does not read it.
const expiryVariable = "AWS_CREDENTIAL_EXPIRATION"

// withExpiryOfEnvironment adds to credentials of the environment when they expire, if the environment says that.
func withExpiryOfEnvironment(c aws.Credentials) aws.Credentials {
	if c.Source != config.CredentialsSourceName || c.SessionToken == "" || c.CanExpire {
		return c
	}
	if at, err := time.Parse(time.RFC3339, os.Getenv(expiryVariable)); err == nil {
		c.CanExpire, c.Expires = true, at
	}
	return c
}
