// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awscall

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// IAM is the calls of an *iam.Client that the plugin makes: what docs/iam/temporary-profile.json has to allow.
type IAM struct {
	GetInstanceProfile            iamCall[iam.GetInstanceProfileInput, iam.GetInstanceProfileOutput]
	CreateRole                    iamCall[iam.CreateRoleInput, iam.CreateRoleOutput]
	PutRolePolicy                 iamCall[iam.PutRolePolicyInput, iam.PutRolePolicyOutput]
	CreateInstanceProfile         iamCall[iam.CreateInstanceProfileInput, iam.CreateInstanceProfileOutput]
	AddRoleToInstanceProfile      iamCall[iam.AddRoleToInstanceProfileInput, iam.AddRoleToInstanceProfileOutput]
	RemoveRoleFromInstanceProfile iamCall[iam.RemoveRoleFromInstanceProfileInput,
		iam.RemoveRoleFromInstanceProfileOutput]
	DeleteInstanceProfile iamCall[iam.DeleteInstanceProfileInput, iam.DeleteInstanceProfileOutput]
	DeleteRolePolicy      iamCall[iam.DeleteRolePolicyInput, iam.DeleteRolePolicyOutput]
	DeleteRole            iamCall[iam.DeleteRoleInput, iam.DeleteRoleOutput]
	ListRoles             iamCall[iam.ListRolesInput, iam.ListRolesOutput]
	ListRoleTags          iamCall[iam.ListRoleTagsInput, iam.ListRoleTagsOutput]
}

// iamCall is one call of IAM's client.
type iamCall[I, O any] func(context.Context, *I, ...func(*iam.Options)) (*O, error)

// BindIAM returns the calls of a client, with errors a person can read.
func BindIAM(c *iam.Client) *IAM {
	return &IAM{
		GetInstanceProfile:            readable(c.GetInstanceProfile),
		CreateRole:                    readable(c.CreateRole),
		PutRolePolicy:                 readable(c.PutRolePolicy),
		CreateInstanceProfile:         readable(c.CreateInstanceProfile),
		AddRoleToInstanceProfile:      readable(c.AddRoleToInstanceProfile),
		RemoveRoleFromInstanceProfile: readable(c.RemoveRoleFromInstanceProfile),
		DeleteInstanceProfile:         readable(c.DeleteInstanceProfile),
		DeleteRolePolicy:              readable(c.DeleteRolePolicy),
		DeleteRole:                    readable(c.DeleteRole),
		ListRoles:                     readable(c.ListRoles),
		ListRoleTags:                  readable(c.ListRoleTags),
	}
}
