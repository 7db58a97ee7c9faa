// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// What the sweep asks of AWS beside what every bake does. With the removals, it is what docs/iam/sweep.json has to allow.

// tagReader finds by its tags what bakes have made. Satisfied by *ec2.Client.
type tagReader interface {
	DescribeTags(context.Context, *ec2.DescribeTagsInput, ...func(*ec2.Options)) (*ec2.DescribeTagsOutput, error)
}

// roleReader finds the temporary roles of bakes. Satisfied by *iam.Client.
type roleReader interface {
	ListRoles(context.Context, *iam.ListRolesInput, ...func(*iam.Options)) (*iam.ListRolesOutput, error)
	ListRoleTags(context.Context, *iam.ListRoleTagsInput, ...func(*iam.Options)) (*iam.ListRoleTagsOutput, error)
}

// sweepAPI is what sweeping one region takes.
type sweepAPI interface {
	tagReader
	spotReader
	spotRemover
	machineReader
	machineRunner
	groupMaker
	imageReader
	imageRemover
}
