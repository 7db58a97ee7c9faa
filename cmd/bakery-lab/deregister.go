// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// deregister removes images and their disks. A name may contain * and ?. It is not an error when there is no such
// image.
func deregister(args []string) (int, error) {
	words, rest, err := parse(flags("deregister"), args)
	if err != nil {
		return usageExit, err
	}
	if len(words) == 0 || len(rest) > 0 {
		return usageError("deregister")
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // only files are removed
	defer cancel()
	c, err := connect(ctx)
	if err != nil {
		return 1, err
	}
	for _, word := range words {
		in := &ec2.DescribeImagesInput{Owners: []string{"self"}}
		if strings.HasPrefix(word, "ami-") {
			in.ImageIds = []string{word}
		} else {
			in.Filters = []types.Filter{{Name: aws.String("name"), Values: []string{word}}}
		}
		out, err := c.ec2.DescribeImages(ctx, in)
		if err != nil {
			return 1, err
		}
		for _, i := range out.Images {
			if _, err := c.ec2.DeregisterImage(ctx,
				&ec2.DeregisterImageInput{ImageId: i.ImageId, DeleteAssociatedSnapshots: aws.Bool(true)}); err != nil {
				return 1, err
			}
			fmt.Println(*i.ImageId)
		}
	}
	return 0, nil
}
