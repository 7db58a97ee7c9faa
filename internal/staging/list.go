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

// keyPrefix returns the beginning of all keys whose name below the prefix begins with name.
func (l Location) keyPrefix(name string) *string {
	if l.Prefix == "" {
		return aws.String(name)
	}
	return aws.String(l.Prefix + "/" + name)
}

// Folders returns the folders below the prefix whose names begin with name, sorted.
func (s *Store) Folders(ctx context.Context, name string) ([]string, error) {
	var all []string
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{
		Bucket: &s.Bucket, Prefix: s.keyPrefix(name), Delimiter: aws.String("/"), ExpectedBucketOwner: s.owner,
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
		Bucket: &s.Bucket, Prefix: s.keyPrefix(folder + "/"), ExpectedBucketOwner: s.owner,
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

// Unfinished is a multipart upload that is not complete. Its parts cost money until it is aborted.
type Unfinished struct{ Key, ID string }

// Uploads returns the uploads that are not complete, to names below the prefix that begin with name.
func (s *Store) Uploads(ctx context.Context, name string) ([]Unfinished, error) {
	var all []Unfinished
	pages := s3.NewListMultipartUploadsPaginator(s.client, &s3.ListMultipartUploadsInput{
		Bucket: &s.Bucket, Prefix: s.keyPrefix(name), ExpectedBucketOwner: s.owner,
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

// Abort aborts an upload and removes its parts. It returns nil when the upload does not exist.
func (s *Store) Abort(ctx context.Context, u Unfinished) error {
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &s.Bucket, Key: &u.Key, UploadId: &u.ID, ExpectedBucketOwner: s.owner,
	})
	if err != nil && statusOf(err) != http.StatusNotFound {
		return fmt.Errorf("end the upload to %s: %w", s.URL(u.Key), awserror.InWords(err))
	}
	return nil
}
