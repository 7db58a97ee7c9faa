// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package staging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awserror"
)

// sha256Key is the metadata an upload leaves on its object, so that a later bake need not upload it again. It is
// compared together with the size: the key alone says what the object should be, not that its upload was finished.
const sha256Key = "bakery-sha256"

// abortTimeout is how long the parts of a cancelled upload may take to be removed; they cost money while they exist.
const abortTimeout = 30 * time.Second

// An upload keeps partsAtOnce+1 parts of partSize bytes in memory. They are the smallest that S3 takes, and as many as
// fill a fast line; the library's own defaults need more than twice as much, which many bakes at once would feel.
const (
	partSize    = 5 << 20
	partsAtOnce = 3
)

// MaxExpiry is the longest a presigned URL may last, by the rules of Signature Version 4.
const MaxExpiry = 7 * 24 * time.Hour

// Object is a file to be staged.
type Object struct {
	Key    string
	SHA256 string // hex
	Size   int64  // bytes
	Open   func() (io.ReadCloser, error)
}

// Store keeps files below one location.
type Store struct {
	Location

	client     *s3.Client
	presign    *s3.PresignClient
	owner      *string // the account the bucket must belong to
	encryption types.ServerSideEncryption
	kmsKey     *string

	doubtful *sync.Map // the keys of which an upload may be there that nobody finishes
}

// Options say whose the bucket is, and how S3 encrypts what is put there. The zero value leaves both to S3.
type Options struct {
	Owner      string // the id of the account the bucket must belong to; S3 refuses every call otherwise
	Encryption string // AES256, aws:kms or aws:kms:dsse; empty is the bucket's default
	KMSKey     string // the id, ARN or alias of the key; empty is the account's key of S3
}

// New returns a store at a location.
func New(cfg aws.Config, at Location, options Options) *Store {
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		// An endpoint of one's own is one host: bucket.host need not resolve there.
		o.UsePathStyle = o.BaseEndpoint != nil
		// Logs are gzip'd, and fs/ is checked by the machine: a missing checksum of S3's is no news.
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	// Who uploads to a signed URL knows nothing of checksums; the SDK would sign that of no content at all.
	plain := s3.New(client.Options(), func(o *s3.Options) {
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	})
	return &Store{
		doubtful: &sync.Map{},
		Location: at, client: client, presign: s3.NewPresignClient(plain),
		owner: some(options.Owner), encryption: types.ServerSideEncryption(options.Encryption), kmsKey: some(options.KMSKey),
	}
}

func some(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Region returns the region of the bucket.
func (s *Store) Region() string { return s.client.Options().Region }

// ErrDenied says that S3 refused to say whether the bucket is there.
var ErrDenied = errors.New("look at the bucket: access denied")

// Check looks at the bucket. The error wraps ErrDenied when S3 does not say, which does not mean that an upload fails:
// s3:PutObject can be granted without s3:ListBucket.
func (s *Store) Check(ctx context.Context) error {
	err := s.head(ctx, s.owner)
	switch statusOf(err) {
	case http.StatusMovedPermanently:
		return fmt.Errorf("find bucket %s in region %s: it is in %s: set region of staging to that",
			s.Bucket, s.client.Options().Region, regionOf(err))
	case http.StatusNotFound:
		return fmt.Errorf("find bucket %s of staging: there is none of that name", s.Bucket)
	case http.StatusForbidden:
		if s.isSomebodyElses(ctx) {
			return s.wrongOwner()
		}
		return fmt.Errorf("%w to %s", ErrDenied, s.Bucket)
	}
	if err != nil {
		return fmt.Errorf("look at bucket %s of staging: %w", s.Bucket, awserror.InWords(err))
	}
	return nil
}

// isSomebodyElses reports whether S3 refuses to show the bucket only because it is asked for that of another account.
func (s *Store) isSomebodyElses(ctx context.Context) bool {
	return s.owner != nil && statusOf(s.head(ctx, s.owner)) == http.StatusForbidden && s.head(ctx, nil) == nil
}

// head looks at the bucket of an account, or of any.
func (s *Store) head(ctx context.Context, owner *string) error {
	_, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.Bucket, ExpectedBucketOwner: owner})
	return err
}

func (s *Store) wrongOwner() error {
	return fmt.Errorf("bucket %s does not belong to account %s: where it is meant to be another's, set expected_bucket_owner of "+
		"staging to the id of that account", s.Bucket, aws.ToString(s.owner))
}

// Has reports whether an object of this content is there already.
func (s *Store) Has(ctx context.Context, o Object) (bool, error) {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.Bucket, Key: &o.Key, ExpectedBucketOwner: s.owner})
	switch statusOf(err) {
	case http.StatusNotFound, http.StatusForbidden: // forbidden is what S3 says of nothing to those who may not list
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", s.URL(o.Key), awserror.InWords(err))
	}
	return out.Metadata[sha256Key] == o.SHA256 && aws.ToInt64(out.ContentLength) == o.Size, nil
}

// Open reads an object. One that is not there is nil, without an error.
func (s *Store) Open(ctx context.Context, key string) (io.ReadCloser, error) {
	in := &s3.GetObjectInput{Bucket: &s.Bucket, Key: &key, ExpectedBucketOwner: s.owner}
	out, err := s.client.GetObject(ctx, in)
	switch statusOf(err) {
	case http.StatusNotFound, http.StatusForbidden:
		return nil, nil //nolint:nilnil // there is nothing to read
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.URL(key), awserror.InWords(err))
	}
	return out.Body, nil
}

// Delete removes an object, and the parts of an upload of it that was not finished; one that is not there is as good as
// removed.
func (s *Store) Delete(ctx context.Context, key string) error {
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.Bucket, Key: &key, ExpectedBucketOwner: s.owner})
	if err != nil && statusOf(err) != http.StatusNotFound {
		return fmt.Errorf("delete %s: %w", s.URL(key), awserror.InWords(err))
	}
	if _, doubtful := s.doubtful.Load(key); doubtful {
		return s.abort(ctx, key)
	}
	return nil
}

// GetURL returns a URL that fetches an object until it expires, while the bucket is its owner's.
func (s *Store) GetURL(ctx context.Context, key string, expiry time.Duration) (string, error) {
	in := &s3.GetObjectInput{Bucket: &s.Bucket, Key: &key, ExpectedBucketOwner: s.owner}
	r, err := s.presign.PresignGetObject(ctx, in, s3.WithPresignExpires(expiry))
	if err != nil {
		return "", fmt.Errorf("sign a URL of %s: %w", s.URL(key), awserror.InWords(err))
	}
	return r.URL, nil
}

// Upload is a URL that an object can be uploaded to until it expires, with PUT and these headers, each as "name: value".
// There is none unless the encryption is chosen: S3 takes that from headers only.
type Upload struct {
	URL     string
	Headers []string
}

// PutURL signs an upload.
func (s *Store) PutURL(ctx context.Context, key string, expiry time.Duration) (Upload, error) {
	r, err := s.presign.PresignPutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.Bucket, Key: &key, ExpectedBucketOwner: s.owner, ServerSideEncryption: s.encryption, SSEKMSKeyId: s.kmsKey,
	}, s3.WithPresignExpires(expiry))
	if err != nil {
		return Upload{}, fmt.Errorf("sign a URL of %s: %w", s.URL(key), awserror.InWords(err))
	}
	u := Upload{URL: r.URL}
	for _, name := range slices.Sorted(maps.Keys(r.SignedHeader)) {
		if lower := strings.ToLower(name); lower != "host" {
			u.Headers = append(u.Headers, lower+": "+r.SignedHeader.Get(name))
		}
	}
	return u, nil
}

// PlainURL returns the URL of an object without a signature, for a machine that signs its own requests.
func (s *Store) PlainURL(ctx context.Context, key string) (string, error) {
	signed, err := s.GetURL(ctx, key, time.Minute)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(signed)
	if err != nil {
		return "", fmt.Errorf("make a URL of %s: %w", s.URL(key), awserror.InWords(err))
	}
	u.RawQuery = ""
	return u.String(), nil
}

// statusOf returns the HTTP status S3 answered with, 0 for no error or no answer.
func statusOf(err error) int {
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		return response.HTTPStatusCode()
	}
	return 0
}

// regionOf returns the region S3 says a bucket is in, in an answer to a request that went to another.
func regionOf(err error) string {
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		if region := response.HTTPResponse().Header.Get("X-Amz-Bucket-Region"); region != "" {
			return region
		}
	}
	return "another region"
}
