// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instanceprofile

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// notInIAMTag matches a character that IAM accepts in no tag, although EC2 does:
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_Tag.html.
var notInIAMTag = regexp.MustCompile(`[^\p{L}\p{Z}\p{N}_.:/=+\-@]`)

// iamTags returns tags as IAM accepts them. To IAM, two keys are the same that differ in capital letters only.
func iamTags(tags map[string]string) []types.Tag {
	var all []types.Tag
	seen := map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		name := notInIAMTag.ReplaceAllString(key, "-")
		folded := strings.ToLower(name)
		if seen[folded] {
			continue
		}
		seen[folded] = true
		all = append(all, types.Tag{
			Key: aws.String(name), Value: aws.String(notInIAMTag.ReplaceAllString(tags[key], "-")),
		})
	}
	return all
}

// TagMap returns tags as IAM lists them by their keys.
func TagMap(tags []types.Tag) map[string]string {
	byKey := map[string]string{}
	for _, t := range tags {
		byKey[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return byKey
}
