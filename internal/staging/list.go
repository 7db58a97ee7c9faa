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
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awserror"
)

// Folder returns the first element of a key below the prefix. The key must be below it.
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

// maxListed is how many names of a list are read: many more than bakes leave, and few enough for the memory.
const maxListed = 100_000

// checkListed returns an error for a key in a list of those that begin with name below the prefix, when it does not:
// what is listed will be deleted. n is how many were listed before.
func (s *Store) checkListed(key, name string, n int) error {
	if asked := *s.keyPrefix(name); !strings.HasPrefix(key, asked) || key == "" {
		return fmt.Errorf("list %s: S3 answers %q, which is not of what was asked for, %q: nothing of it is touched",
			s, key, asked)
	}
	if n >= maxListed {
		return fmt.Errorf("list %s: there are more than %d names that begin with %q", s, maxListed, *s.keyPrefix(name))
	}
	return nil
}

// Folders returns the folders below the prefix whose names begin with name, sorted. In a bucket with versions, it also
// returns those of which only old versions are left.
func (s *Store) Folders(ctx context.Context, name string) ([]string, error) {
	pages := s3.NewListObjectVersionsPaginator(s.client, &s3.ListObjectVersionsInput{
		Bucket: &s.Bucket, Prefix: s.keyPrefix(name), Delimiter: aws.String("/"), ExpectedBucketOwner: s.owner,
	})
	return s.folders(name, pages.HasMorePages, func() ([]types.CommonPrefix, error) {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		return page.CommonPrefixes, nil
	})
}

// CurrentFolders is Folders without the right to list versions: it returns the folders that objects are in.
func (s *Store) CurrentFolders(ctx context.Context, name string) ([]string, error) {
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{
		Bucket: &s.Bucket, Prefix: s.keyPrefix(name), Delimiter: aws.String("/"), ExpectedBucketOwner: s.owner,
	})
	return s.folders(name, pages.HasMorePages, func() ([]types.CommonPrefix, error) {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		return page.CommonPrefixes, nil
	})
}

// folders returns the folders of a list of pages, each of which next returns.
func (s *Store) folders(name string, more func() bool, next func() ([]types.CommonPrefix, error)) ([]string, error) {
	var all []string
	for more() {
		page, err := next()
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", s, awserror.InWords(err))
		}
		for _, p := range page {
			if err := s.checkListed(aws.ToString(p.Prefix), name, len(all)); err != nil {
				return nil, err
			}
			folder, isFolder := strings.CutSuffix(aws.ToString(p.Prefix), "/")
			if !isFolder || isAmbiguous(folder) || strings.Contains(strings.TrimPrefix(folder, *s.keyPrefix("")), "/") {
				return nil, fmt.Errorf("list %s: S3 answers %q, which is no folder there", s, aws.ToString(p.Prefix))
			}
			all = append(all, s.Folder(folder))
		}
	}
	return all, nil
}

// Keys returns all keys in a folder, and apart from them those that a program could take for other keys, which nobody
// but S3 itself should be asked to delete.
func (s *Store) Keys(ctx context.Context, folder string) (all, ambiguous []string, err error) {
	pages := s3.NewListObjectsV2Paginator(s.client, &s3.ListObjectsV2Input{
		Bucket: &s.Bucket, Prefix: s.keyPrefix(folder + "/"), ExpectedBucketOwner: s.owner,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("list %s/%s: %w", s, folder, awserror.InWords(err))
		}
		for i := range page.Contents {
			key := aws.ToString(page.Contents[i].Key)
			if err := s.checkListed(key, folder+"/", len(all)+len(ambiguous)); err != nil {
				return nil, nil, err
			}
			if isAmbiguous(key) {
				ambiguous = append(ambiguous, key)
				continue
			}
			all = append(all, key)
		}
	}
	return all, ambiguous, nil
}

// isAmbiguous reports whether a program that cleans paths takes a key for another: "a/../b" for "b".
func isAmbiguous(key string) bool {
	for element := range strings.SplitSeq(key, "/") {
		if element == "." || element == ".." {
			return true
		}
	}
	return false
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
			if err := s.checkListed(aws.ToString(u.Key), name, len(all)); err != nil {
				return nil, err
			}
			if isAmbiguous(*u.Key) {
				continue
			}
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
