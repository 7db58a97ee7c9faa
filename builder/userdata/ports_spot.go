// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// What Spot Instances ask of EC2 beside everything else. It is what docs/iam/spot.json has to allow.

// spotReader knows Spot Instances: their prices, and what becomes of their requests. Satisfied by *ec2.Client.
type spotReader interface {
	DescribeSpotPriceHistory(context.Context, *ec2.DescribeSpotPriceHistoryInput, ...func(*ec2.Options)) (*ec2.DescribeSpotPriceHistoryOutput, error)
	DescribeSpotInstanceRequests(context.Context, *ec2.DescribeSpotInstanceRequestsInput, ...func(*ec2.Options)) (*ec2.DescribeSpotInstanceRequestsOutput, error)
}

// spotAPI is all of it.
type spotAPI interface {
	spotReader
	spotRemover
}

// spotRemover ends spot requests. Satisfied by *ec2.Client.
type spotRemover interface {
	CancelSpotInstanceRequests(context.Context, *ec2.CancelSpotInstanceRequestsInput, ...func(*ec2.Options)) (*ec2.CancelSpotInstanceRequestsOutput, error)
}
