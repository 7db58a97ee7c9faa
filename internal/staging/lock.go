// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package staging

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/amibakery/packer-plugin-bakery/internal/awserror"
)

// RightReadLock is the right without which Retention returns ErrUnreadable.
const RightReadLock = "s3:GetBucketObjectLockConfiguration"

// ErrUnreadable is returned when the credentials may not read a setting of the bucket.
var ErrUnreadable = errors.New("the setting of the bucket may not be read")

// Retention returns for how long the bucket protects each object from being deleted, such as "30 days (COMPLIANCE)", or
// "" when it does not: that is Object Lock with a default retention. S3 takes no upload without a checksum there, and
// none that is signed beforehand, as the checksum would have to be signed as well:
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html.
func (s *Store) Retention(ctx context.Context) (string, error) {
	out, err := s.client.GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{
		Bucket: &s.Bucket, ExpectedBucketOwner: s.owner,
	})
	api, isAnswer := errors.AsType[smithy.APIError](err)
	switch {
	case isAnswer && strings.HasPrefix(api.ErrorCode(), "ObjectLockConfigurationNotFound"):
		return "", nil
	case statusOf(err) == http.StatusForbidden:
		return "", ErrUnreadable
	case isAnswer && statusOf(err) < http.StatusInternalServerError && !strings.Contains(api.ErrorCode(), "Expired"),
		statusOf(err) == http.StatusNotImplemented:
		return "", nil // a service with the interface of S3 that has no Object Lock
	case err != nil:
		return "", fmt.Errorf("look up the Object Lock of bucket %s: %w", s.Bucket, awserror.InWords(err))
	}
	if out.ObjectLockConfiguration == nil || out.ObjectLockConfiguration.Rule == nil ||
		out.ObjectLockConfiguration.Rule.DefaultRetention == nil {
		return "", nil
	}
	d := out.ObjectLockConfiguration.Rule.DefaultRetention
	if years := aws.ToInt32(d.Years); years > 0 {
		return fmt.Sprintf("%d years (%s)", years, d.Mode), nil
	}
	return fmt.Sprintf("%d days (%s)", aws.ToInt32(d.Days), d.Mode), nil
}
