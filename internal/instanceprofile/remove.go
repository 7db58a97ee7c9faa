// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instanceprofile

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// conflictTimeout is how long IAM may still refuse to delete a role after it was removed from its profile.
const conflictTimeout = 30 * time.Second

// Remove removes the role and the profile that Make made, or the part of them that it made when it failed. made is when
// Make succeeded, or zero. IAM may not know for a moment what was just made or removed.
func Remove(ctx context.Context, api *awscall.IAM, name string, made time.Time) error {
	notVisible := awscall.NotVisibleYet(made, awscall.CodeNoSuchEntity)
	again := func(err error) bool {
		return notVisible(err) || awscall.HasCode(err, awscall.CodeDeleteConflict, awscall.CodeConcurrentModification)
	}
	var errs []error
	for _, remove := range removals(api, aws.String(name)) {
		err := awscall.RetryWhile(ctx, conflictTimeout, again, remove)
		errs = append(errs, awscall.IgnoreNotFound(err, awscall.CodeNoSuchEntity))
	}
	return errors.Join(errs...)
}

// removals returns the calls that remove a profile and its role, in the order IAM needs.
func removals(api *awscall.IAM, name *string) []func(context.Context) error {
	return []func(context.Context) error{
		func(ctx context.Context) error {
			_, err := api.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{
				InstanceProfileName: name, RoleName: name,
			})
			return err
		},
		func(ctx context.Context) error {
			_, err := api.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: name})
			return err
		},
		func(ctx context.Context) error {
			_, err := api.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: name})
			return err
		},
		func(ctx context.Context) error {
			_, err := api.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: name})
			return err
		},
	}
}

// removeCommands returns the commands with which a person removes the role and the profile.
func removeCommands(cli bake.CLI, name string) []string {
	return []string{
		cli.Command("iam remove-role-from-instance-profile --instance-profile-name %s --role-name %s", name, name),
		cli.Command("iam delete-instance-profile --instance-profile-name %s", name),
		cli.Command("iam delete-role-policy --role-name %s --policy-name %s", name, name),
		cli.Command("iam delete-role --role-name %s", name),
	}
}
