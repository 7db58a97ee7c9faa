// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package staging keeps files in S3 for a machine to fetch, while it is being baked.
//
// An object carries its content's sha256, so a file that is there already is known without reading it. URLs are signed
// with the credentials at hand and work for nobody but their holder, until they expire. The package knows S3; it may not
// know EC2, Packer, or what the files are for.
package staging

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// Location is a bucket and the prefix below which files are kept. Prefix neither begins nor ends with a slash.
type Location struct{ Bucket, Prefix string }

// bucketName is the rule for new buckets, without its rarer exceptions:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html.
var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

// ParseURL reads s3://bucket or s3://bucket/prefix.
func ParseURL(s string) (Location, error) {
	rest, ok := strings.CutPrefix(s, "s3://")
	if !ok {
		return Location{}, fmt.Errorf("%q is not of the form s3://bucket/prefix", s)
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	if !bucketName.MatchString(bucket) {
		return Location{}, fmt.Errorf("%q names no bucket: that has 3 to 63 lower case letters, digits, dots and hyphens", s)
	}
	prefix = strings.Trim(prefix, "/")
	if strings.ContainsAny(prefix, "?#") {
		return Location{}, errors.New("a prefix with ? or # cannot be part of a URL the machine can fetch")
	}
	return Location{Bucket: bucket, Prefix: prefix}, nil
}

// Key returns the key of a file below the prefix.
func (l Location) Key(elements ...string) string {
	return path.Join(append([]string{l.Prefix}, elements...)...)
}

// URL returns the s3:// form of a key, for people.
func (l Location) URL(key string) string { return "s3://" + l.Bucket + "/" + key }

func (l Location) String() string { return strings.TrimSuffix(l.URL(l.Prefix), "/") }
