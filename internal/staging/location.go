// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package staging stores files in S3 for a machine to download during a bake.
//
// The metadata of an object contains its sha256, so that the package can find an object that was already uploaded
// without reading it. Signed URLs use the credentials of the caller, and work until they expire for everybody who has
// them. The package knows S3; it may not know EC2, Packer, or what the files are for.
package staging

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// Location is a bucket and the prefix of the stored files. Prefix neither begins nor ends with a slash.
type Location struct{ Bucket, Prefix string }

// LongestKey is how many bytes a key may have:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html.
const LongestKey = 1024

// bucketName matches the names of new buckets, without the rarer rules:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// ParseURL parses s3://bucket or s3://bucket/prefix.
func ParseURL(s string) (Location, error) {
	rest, ok := strings.CutPrefix(s, "s3://")
	if !ok {
		return Location{}, fmt.Errorf("%q is not of the form s3://bucket/prefix", s)
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	if !bucketName.MatchString(bucket) {
		return Location{}, fmt.Errorf("%q has no valid bucket name: 3 to 63 lower case letters, digits, dots and "+
			"hyphens", s)
	}
	hasPrefix := prefix != ""
	prefix = strings.TrimSuffix(prefix, "/")
	if hasPrefix && !isPlainKey(prefix) {
		return Location{}, fmt.Errorf("%q has an empty element, \".\" or \"..\" in its prefix, which S3 keeps and "+
			"other programs clean away: write the prefix without it", s)
	}
	if strings.ContainsAny(prefix, "?#") {
		return Location{}, errors.New("a prefix with ? or # cannot be part of a URL that the machine can download")
	}
	return Location{Bucket: bucket, Prefix: prefix}, nil
}

// isPlainKey reports whether each element of a key is a name, so that no program takes the key for another.
func isPlainKey(key string) bool {
	for element := range strings.SplitSeq(key, "/") {
		if element == "" || element == "." || element == ".." {
			return false
		}
	}
	return true
}

// Key returns the key of a file below the prefix.
func (l Location) Key(elements ...string) string {
	return path.Join(append([]string{l.Prefix}, elements...)...)
}

// URL returns the s3:// form of a key, for people.
func (l Location) URL(key string) string { return "s3://" + l.Bucket + "/" + key }

func (l Location) String() string { return strings.TrimSuffix(l.URL(l.Prefix), "/") }
