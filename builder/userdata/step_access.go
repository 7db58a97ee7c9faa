// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/amibakery/packer-plugin-bakery/internal/awserror"
	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

// stepAccess finds the account and the region. It comes first, because it takes a moment, and compiling may take long.
type stepAccess struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepAccess) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return step(ctx, state, phasePrepare, findAccount)
}

func findAccount(ctx context.Context, b *bake) error {
	settings := &b.config.Settings
	cfg, err := b.load(ctx, settings)
	if err != nil {
		return err
	}
	if cfg.Credentials == nil {
		return errNoCredentials
	}
	cfg.Credentials = hiding{cfg.Credentials}
	b.aws = newClients(cfg, settings)
	credentials, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoCredentials, err)
	}
	account, err := b.whoami(ctx)
	if err != nil {
		return err
	}
	b.turns = launchTurns(b.aws.config, cmp.Or(account, credentials.AccessKeyID))
	return b.openStore(account)
}

// whoami is the account of the credentials, or "" when it is not to be asked for.
func (b *bake) whoami(ctx context.Context) (string, error) {
	if b.config.SkipCredsValidation {
		return "", nil
	}
	out, err := b.aws.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", fmt.Errorf("check the AWS credentials; skip_credential_validation leaves this check out: %w", awserror.InWords(err))
	}
	b.clock.set(out.ResultMetadata)
	return aws.ToString(out.Account), nil
}

// openStore makes ready what is staged to. The bucket is the account's own where the template says nothing else.
func (b *bake) openStore(account string) error {
	s := b.config.Staging
	if s == nil {
		return nil
	}
	at, err := staging.ParseURL(s.URL)
	if err != nil {
		return fmt.Errorf("staging: url: %w", err)
	}
	cfg := b.aws.config.Copy()
	if s.Region != "" {
		cfg.Region = s.Region
	}
	b.store = staging.New(cfg, at, staging.Options{
		Owner: s.owner(account), Encryption: s.ServerSideEncryption, KMSKey: s.KMSKeyID,
	})
	return nil
}

var errNoCredentials = errors.New("find AWS credentials: set access_key and secret_key, profile, or the environment")
