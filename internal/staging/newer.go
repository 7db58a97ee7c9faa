// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package staging

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/amibakery/packer-plugin-bakery/internal/awserror"
)

// OpenNewer reads an object when its version is not the one last seen ("" for none), and returns its version. It
// returns a nil reader and no error when the object does not exist or has the same version.
func (s *Store) OpenNewer(ctx context.Context, key, seen string) (io.ReadCloser, string, error) {
	in := &s3.GetObjectInput{Bucket: &s.Bucket, Key: &key, ExpectedBucketOwner: s.owner}
	if seen != "" {
		in.IfNoneMatch = aws.String(seen)
	}
	out, err := s.client.GetObject(ctx, in)
	switch statusOf(err) {
	case http.StatusNotFound, http.StatusNotModified:
		return nil, seen, nil
	case http.StatusForbidden: // also S3's answer for a missing object without the right to list
		return nil, seen, fmt.Errorf("read %s, if it is there: %w", s.URL(key), awserror.InWords(err))
	}
	if err != nil {
		return nil, seen, fmt.Errorf("read %s: %w", s.URL(key), awserror.InWords(err))
	}
	return out.Body, aws.ToString(out.ETag), nil
}
