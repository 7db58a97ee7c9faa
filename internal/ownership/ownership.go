// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package ownership proves what a bake has made, by what cannot be copied. People and programs copy tags, to backups,
// to other regions and to "more like this". So each resource also has a tag with its own id, which is wrong on every
// copy; instances have a client token besides, security groups and roles a name, and snapshots a description by EC2.
//
// Whoever may create tags can forge the tag: docs/security.md says so. The package may not know how a thing is removed.
package ownership

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// notFound are the codes of EC2 that say that it does not know a resource that is to be tagged.
var notFound = []string{
	awscall.CodeInstanceNotFound, awscall.CodeImageNotFound, awscall.CodeSnapshotNotFound, awscall.CodeVolumeNotFound,
	awscall.CodeGroupNotFound, awscall.CodeGroupIDNotFound, awscall.CodeSpotRequestNotFound, "InvalidID",
}

// tagTimeout is how long one tag may take. The bake needs none of them itself.
const tagTimeout = 30 * time.Second

// Tag gives resources that a bake has just made the tag with their own id, one call for each: the id is not known when
// the resource is made. A bake goes on without the tag, with one warning: then a sweep keeps what a kill leaves.
func Tag(ctx context.Context, b *bake.Bake, api *awscall.EC2, ids ...string) {
	made := time.Now()
	for _, id := range ids {
		if id == "" {
			continue
		}
		if err := tag(ctx, api, id, made); err != nil && ctx.Err() == nil {
			b.WarnOnce("%s cannot get the tag %s, which proves that this bake has made it: what a killed Packer "+
				"leaves will be named by the sweep, and not removed: %s", id, bake.TagSelf, err)
		}
	}
}

func tag(ctx context.Context, api *awscall.EC2, id string, made time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, tagTimeout)
	defer cancel()
	notVisibleYet := awscall.NotVisibleYet(made, notFound...)
	return awscall.RetryWhile(ctx, tagTimeout, notVisibleYet, func(ctx context.Context) error {
		_, err := api.CreateTags(ctx, &ec2.CreateTagsInput{
			Resources: []string{id}, Tags: []types.Tag{{Key: aws.String(bake.TagSelf), Value: aws.String(id)}},
		})
		return err
	})
}

// HasOwnID reports whether the tags of a resource hold the resource's own id.
func HasOwnID(tags map[string]string, id string) bool { return id != "" && tags[bake.TagSelf] == id }

// IsCopy reports whether the tags of a resource hold the id of another one: they were copied.
func IsCopy(tags map[string]string, id string) bool {
	return tags[bake.TagSelf] != "" && tags[bake.TagSelf] != id
}

// MadeImage reports whether a bake has made an image.
func MadeImage(image *types.Image) bool {
	tags := awscall.TagMap(image.Tags)
	return tags[bake.TagBake] != "" && HasOwnID(tags, aws.ToString(image.ImageId))
}

// LaunchedInstance reports whether a bake has launched an instance that has its tags. Bakes launch with a client token
// that begins with their id, which nobody copies. EC2 need not tell that of a Spot Instance.
func LaunchedInstance(bakeID string, i *types.Instance) bool {
	id, token, tags := aws.ToString(i.InstanceId), aws.ToString(i.ClientToken), awscall.TagMap(i.Tags)
	switch {
	case bakeID == "" || tags[bake.TagBake] != bakeID || IsCopy(tags, id):
		return false
	case token != "":
		return IsTokenOf(bakeID, token)
	}
	return aws.ToString(i.SpotInstanceRequestId) != "" && HasOwnID(tags, id)
}

// IsTokenOf reports whether a client token is one that a bake launches with.
func IsTokenOf(bakeID, token string) bool {
	return token == bakeID || strings.HasPrefix(token, bakeID+"-")
}

// GroupName returns the name of the security group of a bake. A copy in another VPC can have it too.
func GroupName(bakeID string) string { return "bakery-" + bakeID }

// MadeGroup reports whether a bake has made a security group that has its tags.
func MadeGroup(bakeID string, g *types.SecurityGroup) bool {
	tags := awscall.TagMap(g.Tags)
	return bakeID != "" && tags[bake.TagBake] == bakeID && aws.ToString(g.GroupName) == GroupName(bakeID) &&
		HasOwnID(tags, aws.ToString(g.GroupId))
}

// ofImage matches the descriptions that EC2 gives to the snapshots of CreateImage and of CopyImage. They name the image
// that the snapshot was made for:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/creating-an-ami-ebs.html.
var ofImage = regexp.MustCompile(`^(?:Created by CreateImage\(i-[^)]+\) for|Copied for DestinationAmi) ` +
	`(ami-\S+)(?: |$)`)

// MadeSnapshot reports whether a bake has made a snapshot, for one of the images with the ids or with a tag that holds
// the snapshot's own id.
func MadeSnapshot(bakeID string, s *types.Snapshot, images ...string) bool {
	id, tags := aws.ToString(s.SnapshotId), awscall.TagMap(s.Tags)
	if bakeID == "" || tags[bake.TagBake] != bakeID || IsCopy(tags, id) {
		return false
	}
	if HasOwnID(tags, id) {
		return true
	}
	image := MadeForImage(s)
	return image != "" && slices.Contains(images, image)
}

// MadeForImage returns the id of the image that EC2 says it made a snapshot for, or "".
func MadeForImage(s *types.Snapshot) string {
	if m := ofImage.FindStringSubmatch(aws.ToString(s.Description)); m != nil {
		return m[1]
	}
	return ""
}
