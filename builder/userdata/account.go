// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// findAccountID returns the id of the credentials' account, or "" with skip_credential_validation. It sets the clock.
func findAccountID(ctx context.Context, b *build, clients *awscall.Clients) (string, error) {
	if b.config.SkipCredsValidation {
		return "", nil
	}
	out, err := clients.STS.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", fmt.Errorf("check the AWS credentials; skip_credential_validation leaves this check out: %w", err)
	}
	b.Clock.SetFrom(out.ResultMetadata)
	return aws.ToString(out.Account), nil
}
