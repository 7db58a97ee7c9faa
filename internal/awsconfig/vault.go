// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsconfig

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	vault "github.com/hashicorp/vault/api"
)

// VaultAWSEngine gets the credentials from the AWS secrets engine of HashiCorp Vault, at the address and with the token
// of the environment variables `VAULT_ADDR` and `VAULT_TOKEN`.
type VaultAWSEngine struct {
	// The name of the engine's role. Required within `vault_aws_engine`.
	Name string `mapstructure:"name"`
	// The ARN of the AWS role to work as, when the engine's role allows several.
	RoleARN string `mapstructure:"role_arn"`
	// How long the credentials are valid, as a duration such as `3600s`. Only with `role_arn`. Default: that of the
	// engine. They are not renewed, so this must be longer than the build takes.
	TTL string `mapstructure:"ttl"`
	// Where the engine is mounted in Vault. Default: `aws`.
	EngineName string `mapstructure:"engine_name"`
}

func (v *VaultAWSEngine) prepare() []error {
	if v.EngineName == "" {
		v.EngineName = "aws"
	}
	if v.Name == "" {
		return []error{errors.New("vault_aws_engine: name is missing: the engine's role")}
	}
	return nil
}

// credentials reads credentials from Vault:
// https://developer.hashicorp.com/vault/api-docs/secret/aws#generate-credentials.
func (v *VaultAWSEngine) credentials(ctx context.Context) (aws.CredentialsProvider, error) {
	client, err := vault.NewClient(vault.DefaultConfig())
	if err != nil {
		return nil, fmt.Errorf("vault_aws_engine: reach Vault; VAULT_ADDR and VAULT_TOKEN say where it is: %w", err)
	}
	var secret *vault.Secret
	if v.RoleARN != "" {
		data := map[string]any{"role_arn": v.RoleARN}
		if v.TTL != "" {
			data["ttl"] = v.TTL
		}
		secret, err = client.Logical().WriteWithContext(ctx, v.EngineName+"/sts/"+v.Name, data)
	} else {
		secret, err = client.Logical().ReadWithContext(ctx, v.EngineName+"/creds/"+v.Name)
	}
	if err != nil {
		return nil, fmt.Errorf("vault_aws_engine: read the credentials of %s: %w", v.Name, err)
	}
	if secret == nil {
		return nil, fmt.Errorf("vault_aws_engine: Vault has no role %q at %s", v.Name, v.EngineName)
	}
	text := func(key string) string { value, _ := secret.Data[key].(string); return value }
	if text("access_key") == "" || text("secret_key") == "" {
		return nil, fmt.Errorf("vault_aws_engine: Vault's answer for %s has no access_key and secret_key", v.Name)
	}
	provider := credentials.NewStaticCredentialsProvider(text("access_key"), text("secret_key"), text("security_token"))
	if lease := time.Duration(secret.LeaseDuration) * time.Second; lease > 0 {
		provider.Value.CanExpire, provider.Value.Expires = true, time.Now().Add(lease)
	}
	return provider, nil
}
