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

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	tmtypes "github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/amibakery/packer-plugin-bakery/internal/awserror"
)

// Put uploads an object, in parts when it is large, so that memory does not grow with it. A failed or cancelled upload
// leaves nothing; where S3 could not be told so, or its answers were lost, Delete removes what is left.
func (s *Store) Put(ctx context.Context, o Object) error {
	body, err := o.Open()
	if err != nil {
		return fmt.Errorf("open what is uploaded to %s: %w", s.URL(o.Key), err)
	}
	defer body.Close()
	client := &uploader{Client: s.client}
	manager := transfermanager.New(client, func(t *transfermanager.Options) {
		t.FailTimeout, t.PartSizeBytes, t.Concurrency = abortTimeout, partSize, partsAtOnce
		t.MultipartUploadThreshold = partSize // what comes before is read as a whole, and kept until the end
	})
	_, err = manager.UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket: &s.Bucket, Key: &o.Key, Body: body, ExpectedBucketOwner: s.owner,
		Metadata:             map[string]string{sha256Key: o.SHA256},
		ServerSideEncryption: tmtypes.ServerSideEncryption(s.encryption), SSEKMSKeyID: s.kmsKey,
	})
	if client.doubtful.Load() {
		s.doubtful.Store(o.Key, true)
	}
	// To finish an upload again that is finished, because the answer was lost, is refused.
	if err != nil && client.finished.Load() {
		if there, _ := s.Has(ctx, o); there {
			return nil
		}
	}
	if statusOf(err) == http.StatusForbidden && s.isSomebodyElses(ctx) {
		return s.wrongOwner()
	}
	if err != nil {
		return fmt.Errorf("upload to %s: %w", s.URL(o.Key), awserror.InWords(err))
	}
	return nil
}

// uploader is the client of one upload. It notes when S3 may have parts that nobody finishes.
type uploader struct {
	*s3.Client

	doubtful atomic.Bool // there may be an upload nobody knows the id of, or one that could not be ended
	finished atomic.Bool // S3 was told that all parts are there
}

// settle returns the context of a call that makes something in S3. It goes on when the upload is cancelled meanwhile: a call
// that is broken off may take effect later, after what it made was removed.
func settle(ctx context.Context) (context.Context, context.CancelFunc) {
	const limit = 2 * time.Minute // the SDK's ten attempts, with some of S3's slowness
	return context.WithTimeout(context.WithoutCancel(ctx), limit)
}

// PutObject uploads what is no larger than a part.
func (u *uploader) PutObject(ctx context.Context, in *s3.PutObjectInput, opts ...func(*s3.Options)) (*s3.PutObjectOutput, error) {
	own, cancel := settle(ctx)
	defer cancel()
	return u.Client.PutObject(own, in, opts...)
}

// CreateMultipartUpload begins an upload. When it takes more than one attempt, an earlier one may have begun one, too.
func (u *uploader) CreateMultipartUpload(ctx context.Context, in *s3.CreateMultipartUploadInput, opts ...func(*s3.Options)) (*s3.CreateMultipartUploadOutput, error) {
	own, cancel := settle(ctx)
	defer cancel()
	out, err := u.Client.CreateMultipartUpload(own, in, opts...)
	if err != nil {
		u.doubtful.Store(true)
		return out, err
	}
	if tried, ok := retry.GetAttemptResults(out.ResultMetadata); ok && len(tried.Results) > 1 {
		u.doubtful.Store(true)
	}
	return out, nil
}

// CompleteMultipartUpload makes the parts an object.
func (u *uploader) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput, opts ...func(*s3.Options)) (*s3.CompleteMultipartUploadOutput, error) {
	own, cancel := settle(ctx)
	defer cancel()
	u.finished.Store(true)
	return u.Client.CompleteMultipartUpload(own, in, opts...)
}

// AbortMultipartUpload ends an upload that has failed. Its own failure is not told: it would take the place of the reason.
func (u *uploader) AbortMultipartUpload(ctx context.Context, in *s3.AbortMultipartUploadInput, opts ...func(*s3.Options)) (*s3.AbortMultipartUploadOutput, error) {
	out, err := u.Client.AbortMultipartUpload(ctx, in, opts...)
	if err != nil && statusOf(err) != http.StatusNotFound {
		u.doubtful.Store(true)
	}
	return out, nil
}

// abort ends all uploads of a key that were not finished: their parts are in no list of objects, and cost money.
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
	s.doubtful.Delete(key)
	return nil
}
