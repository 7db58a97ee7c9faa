// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// iamCalls are the calls of an *iam.Client that a bake makes, bound one by one for the reason of ec2Calls.
type iamCalls struct {
	getInstanceProfile    iamCall[iam.GetInstanceProfileInput, iam.GetInstanceProfileOutput]
	createRole            iamCall[iam.CreateRoleInput, iam.CreateRoleOutput]
	putRolePolicy         iamCall[iam.PutRolePolicyInput, iam.PutRolePolicyOutput]
	createInstanceProfile iamCall[iam.CreateInstanceProfileInput, iam.CreateInstanceProfileOutput]
	addRole               iamCall[iam.AddRoleToInstanceProfileInput, iam.AddRoleToInstanceProfileOutput]
	removeRole            iamCall[iam.RemoveRoleFromInstanceProfileInput, iam.RemoveRoleFromInstanceProfileOutput]
	deleteInstanceProfile iamCall[iam.DeleteInstanceProfileInput, iam.DeleteInstanceProfileOutput]
	deleteRolePolicy      iamCall[iam.DeleteRolePolicyInput, iam.DeleteRolePolicyOutput]
	deleteRole            iamCall[iam.DeleteRoleInput, iam.DeleteRoleOutput]
	listRoles             iamCall[iam.ListRolesInput, iam.ListRolesOutput]
	listRoleTags          iamCall[iam.ListRoleTagsInput, iam.ListRoleTagsOutput]
}

// iamCall is one call of IAM's client.
type iamCall[I, O any] func(context.Context, *I, ...func(*iam.Options)) (*O, error)

func bindIAM(c *iam.Client) *iamCalls {
	return &iamCalls{
		getInstanceProfile:    worded(c.GetInstanceProfile),
		createRole:            worded(c.CreateRole),
		putRolePolicy:         worded(c.PutRolePolicy),
		createInstanceProfile: worded(c.CreateInstanceProfile),
		addRole:               worded(c.AddRoleToInstanceProfile),
		removeRole:            worded(c.RemoveRoleFromInstanceProfile),
		deleteInstanceProfile: worded(c.DeleteInstanceProfile),
		deleteRolePolicy:      worded(c.DeleteRolePolicy),
		deleteRole:            worded(c.DeleteRole),
		listRoles:             worded(c.ListRoles),
		listRoleTags:          worded(c.ListRoleTags),
	}
}

var _ iamAPI = (*iamCalls)(nil)

func (c *iamCalls) GetInstanceProfile(ctx context.Context, in *iam.GetInstanceProfileInput, opts ...func(*iam.Options)) (*iam.GetInstanceProfileOutput, error) {
	return c.getInstanceProfile(ctx, in, opts...)
}

func (c *iamCalls) CreateRole(ctx context.Context, in *iam.CreateRoleInput, opts ...func(*iam.Options)) (*iam.CreateRoleOutput, error) {
	return c.createRole(ctx, in, opts...)
}

func (c *iamCalls) PutRolePolicy(ctx context.Context, in *iam.PutRolePolicyInput, opts ...func(*iam.Options)) (*iam.PutRolePolicyOutput, error) {
	return c.putRolePolicy(ctx, in, opts...)
}

func (c *iamCalls) CreateInstanceProfile(ctx context.Context, in *iam.CreateInstanceProfileInput, opts ...func(*iam.Options)) (*iam.CreateInstanceProfileOutput, error) {
	return c.createInstanceProfile(ctx, in, opts...)
}

func (c *iamCalls) AddRoleToInstanceProfile(ctx context.Context, in *iam.AddRoleToInstanceProfileInput, opts ...func(*iam.Options)) (*iam.AddRoleToInstanceProfileOutput, error) {
	return c.addRole(ctx, in, opts...)
}

func (c *iamCalls) RemoveRoleFromInstanceProfile(ctx context.Context, in *iam.RemoveRoleFromInstanceProfileInput, opts ...func(*iam.Options)) (*iam.RemoveRoleFromInstanceProfileOutput, error) {
	return c.removeRole(ctx, in, opts...)
}

func (c *iamCalls) DeleteInstanceProfile(ctx context.Context, in *iam.DeleteInstanceProfileInput, opts ...func(*iam.Options)) (*iam.DeleteInstanceProfileOutput, error) {
	return c.deleteInstanceProfile(ctx, in, opts...)
}

func (c *iamCalls) DeleteRolePolicy(ctx context.Context, in *iam.DeleteRolePolicyInput, opts ...func(*iam.Options)) (*iam.DeleteRolePolicyOutput, error) {
	return c.deleteRolePolicy(ctx, in, opts...)
}

func (c *iamCalls) DeleteRole(ctx context.Context, in *iam.DeleteRoleInput, opts ...func(*iam.Options)) (*iam.DeleteRoleOutput, error) {
	return c.deleteRole(ctx, in, opts...)
}

func (c *iamCalls) ListRoles(ctx context.Context, in *iam.ListRolesInput, opts ...func(*iam.Options)) (*iam.ListRolesOutput, error) {
	return c.listRoles(ctx, in, opts...)
}

func (c *iamCalls) ListRoleTags(ctx context.Context, in *iam.ListRoleTagsInput, opts ...func(*iam.Options)) (*iam.ListRoleTagsOutput, error) {
	return c.listRoleTags(ctx, in, opts...)
}
