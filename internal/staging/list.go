// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package staging

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/amibakery/packer-plugin-bakery/internal/awserror"
)

// Folder returns the first element of a key below the prefix.
func (l Location) Folder(key string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(key, l.Prefix), "/"), "/")
	return name
}

// begin returns what keys begin with whose name below the prefix begins with a text.
func (l Location) begin(name string) *string {
	if l.Prefix == "" {
		return aws.String(name)
	}
	return aws.String(l.Prefix + "/" + name)
}

// Folders returns the names below the prefix that begin with a text and have something below them, sorted.
func (s *Store) Folders(ctx context.Context, name string) ([]string, error) {
	var all []string
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{
		Bucket: &s.Bucket, Prefix: s.begin(name), Delimiter: aws.String("/"), ExpectedBucketOwner: s.owner,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", s, awserror.InWords(err))
		}
		for _, p := range page.CommonPrefixes {
			all = append(all, s.Folder(aws.ToString(p.Prefix)))
		}
	}
	return all, nil
}

// Keys returns all keys in a folder.
func (s *Store) Keys(ctx context.Context, folder string) ([]string, error) {
	var all []string
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{
		Bucket: &s.Bucket, Prefix: s.begin(folder + "/"), ExpectedBucketOwner: s.owner,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list %s/%s: %w", s, folder, awserror.InWords(err))
		}
		for i := range page.Contents {
			all = append(all, aws.ToString(page.Contents[i].Key))
		}
	}
	return all, nil
}

// Unfinished is an upload in parts that is not complete. Its parts are paid for until it is ended.
type Unfinished struct{ Key, ID string }

// Uploads returns those not complete below the prefix, to names that begin with a text.
func (s *Store) Uploads(ctx context.Context, name string) ([]Unfinished, error) {
	var all []Unfinished
	pages := s3.NewListMultipartUploadsPaginator(s.client, &s3.ListMultipartUploadsInput{
		Bucket: &s.Bucket, Prefix: s.begin(name), ExpectedBucketOwner: s.owner,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the uploads to %s: %w", s, awserror.InWords(err))
		}
		for _, u := range page.Uploads {
			all = append(all, Unfinished{Key: aws.ToString(u.Key), ID: aws.ToString(u.UploadId)})
		}
	}
	return all, nil
}

// Abort ends an upload and removes its parts; one that is not there is as good as ended.
func (s *Store) Abort(ctx context.Context, u Unfinished) error {
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &s.Bucket, Key: &u.Key, UploadId: &u.ID, ExpectedBucketOwner: s.owner,
	})
	if err != nil && statusOf(err) != http.StatusNotFound {
		return fmt.Errorf("end the upload to %s: %w", s.URL(u.Key), awserror.InWords(err))
	}
	return nil
}
