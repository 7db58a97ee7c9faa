// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package staging

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	tmtypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/amibakery/packer-plugin-bakery/internal/awserror"
)

// Put uploads an object, in parts when it is large, so that memory does not grow with it. A failed or cancelled upload
// is aborted. When that fails, or answers of S3 are lost, parts may remain, which Delete removes.
func (s *Store) Put(ctx context.Context, o Object) error {
	body, err := o.Open()
	if err != nil {
		return fmt.Errorf("open the file to upload to %s: %w", s.URL(o.Key), err)
	}
	defer body.Close()
	client := &uploader{Client: s.client, size: o.Size}
	manager := transfermanager.New(client, func(t *transfermanager.Options) {
		t.FailTimeout, t.PartSizeBytes, t.Concurrency = abortTimeout, partSize, partsAtOnce
		t.MultipartUploadThreshold = partSize // a smaller object is in memory as a whole
	})
	uploaded, err := manager.UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket: &s.Bucket, Key: &o.Key, Body: body, ExpectedBucketOwner: s.owner,
		Metadata:             map[string]string{sha256Key: o.SHA256},
		ServerSideEncryption: tmtypes.ServerSideEncryption(s.encryption), SSEKMSKeyID: s.kmsKey,
	})
	if client.incomplete.Load() {
		s.incomplete.Store(o.Key, true)
	}
	if err == nil && aws.ToString(uploaded.VersionID) != "" {
		s.versions.Store(version{o.Key, *uploaded.VersionID}, true)
	}
	// When the answer to CompleteMultipartUpload is lost, S3 refuses the second attempt.
	if err != nil && client.finished.Load() {
		if there, _ := s.Has(ctx, o); there {
			return nil
		}
	}
	if statusOf(err) == http.StatusForbidden && s.belongsToOtherAccount(ctx) {
		return s.wrongOwner()
	}
	if err != nil {
		return fmt.Errorf("upload to %s: %w", s.URL(o.Key), awserror.InWords(err))
	}
	return nil
}

// uploader is the client of one upload. It records whether S3 may have parts of an incomplete upload.
type uploader struct {
	*s3.Client

	size       int64       // of the object, in bytes
	incomplete atomic.Bool // there may be an upload with an unknown id, or one that could not be aborted
	finished   atomic.Bool // CompleteMultipartUpload was called
}

// Limits of a call that changes something in S3.
const (
	callLimit   = 2 * time.Minute // the SDK's ten attempts, with some of S3's slowness
	slowestLink = 4 << 10         // bytes that the slowest link uploads in a second
)

// uninterruptible returns the context of a call that changes something in S3 and uploads so many bytes. When the upload
// is cancelled, the call continues for callLimit at most: an interrupted call could take effect later, after the
// clean-up.
func uninterruptible(ctx context.Context, size int64) (context.Context, context.CancelFunc) {
	limit := callLimit + time.Duration(size/slowestLink)*time.Second
	own, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(callLimit)
		defer timer.Stop()
		select {
		case <-timer.C:
			cancel()
		case <-own.Done():
		}
	})
	return own, func() {
		stop()
		cancel()
	}
}

// PutObject uploads an object that is not larger than a part.
func (u *uploader) PutObject(
	ctx context.Context,
	in *s3.PutObjectInput,
	opts ...func(*s3.Options),
) (*s3.PutObjectOutput, error) {
	own, cancel := uninterruptible(ctx, u.size)
	defer cancel()
	return u.Client.PutObject(own, in, opts...)
}

// CreateMultipartUpload begins an upload. When it needs more than one attempt, an earlier one may have begun another
// upload.
func (u *uploader) CreateMultipartUpload(
	ctx context.Context,
	in *s3.CreateMultipartUploadInput,
	opts ...func(*s3.Options),
) (*s3.CreateMultipartUploadOutput, error) {
	own, cancel := uninterruptible(ctx, 0)
	defer cancel()
	out, err := u.Client.CreateMultipartUpload(own, in, opts...)
	if err != nil {
		u.incomplete.Store(true)
		return out, err
	}
	if tried, ok := retry.GetAttemptResults(out.ResultMetadata); ok && len(tried.Results) > 1 {
		u.incomplete.Store(true)
	}
	return out, nil
}

// CompleteMultipartUpload makes an object of the parts.
func (u *uploader) CompleteMultipartUpload(
	ctx context.Context,
	in *s3.CompleteMultipartUploadInput,
	opts ...func(*s3.Options),
) (*s3.CompleteMultipartUploadOutput, error) {
	own, cancel := uninterruptible(ctx, 0)
	defer cancel()
	u.finished.Store(true)
	return u.Client.CompleteMultipartUpload(own, in, opts...)
}

// AbortMultipartUpload aborts an upload that has failed. It does not return its own error, which would replace the
// reason of the failure.
func (u *uploader) AbortMultipartUpload(
	ctx context.Context,
	in *s3.AbortMultipartUploadInput,
	opts ...func(*s3.Options),
) (*s3.AbortMultipartUploadOutput, error) {
	out, err := u.Client.AbortMultipartUpload(ctx, in, opts...)
	if err != nil && statusOf(err) != http.StatusNotFound {
		u.incomplete.Store(true)
	}
	return out, nil
}

// abort aborts all incomplete uploads of a key: their parts cost money, and are in no list of objects.
func (s *Store) abort(ctx context.Context, key string) error {
	all, err := s.Uploads(ctx, strings.TrimPrefix(strings.TrimPrefix(key, s.Prefix), "/"))
	if err != nil {
		return fmt.Errorf("%s may have been begun more than once: %w", s.URL(key), err)
	}
	for _, u := range all {
		if u.Key != key {
			continue
		}
		if err := s.Abort(ctx, u); err != nil {
			return err
		}
	}
	s.incomplete.Delete(key)
	return nil
}
