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
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awserror"
)

// sha256Key is the name of the metadata with which a later bake recognises an object, so that it need not upload it
// again. It is compared together with the size: the key of the object alone does not say that its upload was completed.
const sha256Key = "bakery-sha256"

// abortTimeout is how long removing the parts of a cancelled upload may take; they cost money while they exist.
const abortTimeout = 30 * time.Second

// An upload has partsAtOnce+1 parts of partSize bytes in memory. This is the smallest part that S3 accepts, and enough
// parts for a fast network. The defaults of the library need more than twice the memory, which is too much for many
// bakes at the same time.
const (
	partSize    = 5 << 20
	partsAtOnce = 3
)

// MaxExpiry is the longest a presigned URL may last, by the rules of Signature Version 4.
const MaxExpiry = 7 * 24 * time.Hour

// newPresignClient returns a client that signs URLs with the time of now. The SDK corrects the clock only for what it
// sends itself.
func newPresignClient(client *s3.Client, now func() time.Time) *s3.PresignClient {
	if now == nil {
		return s3.NewPresignClient(client)
	}
	// As the SDK's own signer for S3, which escapes paths itself.
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	return s3.NewPresignClient(client, func(o *s3.PresignOptions) { o.Presigner = clockedSigner{signer, now} })
}

// clockedSigner signs with another clock than this computer's.
type clockedSigner struct {
	signer *v4.Signer
	now    func() time.Time
}

// PresignHTTP implements [s3.HTTPPresignerV4].
func (s clockedSigner) PresignHTTP(
	ctx context.Context, credentials aws.Credentials, r *http.Request, payloadHash, service, region string, _ time.Time,
	options ...func(*v4.SignerOptions),
) (url string, signedHeader http.Header, err error) {
	return s.signer.PresignHTTP(ctx, credentials, r, payloadHash, service, region, s.now().UTC(), options...)
}

// Object is a file to be staged.
type Object struct {
	Key    string
	SHA256 string // hex
	Size   int64  // bytes
	Open   func() (io.ReadCloser, error)
}

// Store stores files below one location.
type Store struct {
	Location

	client     *s3.Client
	presign    *s3.PresignClient
	owner      *string // the account the bucket must belong to
	encryption types.ServerSideEncryption
	kmsKey     *string

	incomplete *sync.Map // keys that may have an incomplete multipart upload
	versions   *sync.Map // the versions that uploads have made, as version{}
}

// Options are the owner of the bucket and the encryption of the objects. With the zero value, S3 decides both.
type Options struct {
	Owner      string // the id of the account the bucket must belong to; S3 refuses every call otherwise
	Encryption string // AES256, aws:kms or aws:kms:dsse; empty is the bucket's default
	KMSKey     string // the id, ARN or alias of the key; empty is the account's key of S3
	// Now returns the time with which URLs are signed, by AWS's clock; nil is this computer's.
	Now func() time.Time
}

// New returns a store at a location.
func New(cfg aws.Config, at Location, options Options) *Store {
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		// With a custom endpoint, bucket.host need not resolve.
		o.UsePathStyle = o.BaseEndpoint != nil
		// Logs are gzip'd, and the machine verifies fs/: a missing checksum of S3 need not be logged.
		o.DisableLogOutputChecksumValidationSkipped = true
		o.APIOptions = append(o.APIOptions, encodeListedKeys)
		// A bucket with Object Lock takes no upload without a checksum.
		if o.RequestChecksumCalculation == aws.RequestChecksumCalculationUnset {
			o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
		}
	})
	// A program that uploads to a signed URL sends no checksum. The SDK would sign the checksum of an empty body.
	plain := s3.New(client.Options(), func(o *s3.Options) {
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	})
	return &Store{
		incomplete: &sync.Map{}, versions: &sync.Map{},
		Location: at, client: client, presign: newPresignClient(plain, options.Now),
		owner: nonZeroPtr(options.Owner), encryption: types.ServerSideEncryption(options.Encryption),
		kmsKey: nonZeroPtr(options.KMSKey),
	}
}

// nonZeroPtr returns a pointer to s, or nil when s is empty.
func nonZeroPtr(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// Region returns the region of the bucket.
func (s *Store) Region() string { return s.client.Options().Region }

// ErrDenied is returned when S3 refuses to say whether the bucket exists.
var ErrDenied = errors.New("look at the bucket: access denied")

// ErrWrongOwner is returned when the bucket belongs to another account than the expected one.
var ErrWrongOwner = errors.New("the bucket does not belong to the account")

// Check checks the bucket. The error wraps ErrDenied when S3 denies access. Uploads may work even then: s3:PutObject
// can be granted without s3:ListBucket. It is an ErrWrongOwner when S3 denies everything because of the bucket's owner.
func (s *Store) Check(ctx context.Context) error {
	err := s.head(ctx, s.owner)
	switch statusOf(err) {
	case http.StatusMovedPermanently:
		return fmt.Errorf("find bucket %s in region %s: it is in %s: set region of staging to that",
			s.Bucket, s.client.Options().Region, regionOf(err))
	case http.StatusNotFound:
		return fmt.Errorf("find bucket %s of staging: there is none of that name", s.Bucket)
	case http.StatusForbidden:
		if s.belongsToOtherAccount(ctx) {
			return s.wrongOwner()
		}
		return fmt.Errorf("%w to %s", ErrDenied, s.Bucket)
	}
	if err != nil {
		return fmt.Errorf("look at bucket %s of staging: %w", s.Bucket, awserror.InWords(err))
	}
	return nil
}

// belongsToOtherAccount reports whether S3 denies access only because the bucket belongs to another account than the
// expected one.
func (s *Store) belongsToOtherAccount(ctx context.Context) bool {
	return s.owner != nil && statusOf(s.head(ctx, s.owner)) == http.StatusForbidden && s.head(ctx, nil) == nil
}

// head calls HeadBucket, with an expected owner or without.
func (s *Store) head(ctx context.Context, owner *string) error {
	_, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.Bucket, ExpectedBucketOwner: owner})
	return err
}

// wrongOwnerError is an ErrWrongOwner that says whose bucket it is not.
type wrongOwnerError struct{ bucket, owner string }

func (e *wrongOwnerError) Error() string {
	return fmt.Sprintf("bucket %s does not belong to account %s: if it is meant to belong to another, set "+
		"expected_bucket_owner of staging to the id of that account", e.bucket, e.owner)
}

// Is implements errors.Is.
func (*wrongOwnerError) Is(target error) bool { return target == ErrWrongOwner }

func (s *Store) wrongOwner() error { return &wrongOwnerError{s.Bucket, aws.ToString(s.owner)} }

// Has reports whether an object with this content already exists.
func (s *Store) Has(ctx context.Context, o Object) (bool, error) {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.Bucket, Key: &o.Key,
		ExpectedBucketOwner: s.owner})
	switch statusOf(err) {
	case http.StatusNotFound, http.StatusForbidden: // without the right to list, a missing object is forbidden
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s: %w", s.URL(o.Key), awserror.InWords(err))
	}
	return out.Metadata[sha256Key] == o.SHA256 && aws.ToInt64(out.ContentLength) == o.Size, nil
}

// Open reads an object. It returns a nil reader and no error when the object does not exist.
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

// Delete removes an object with all its versions, and the parts of uploads of it that were not completed. It returns
// nil when the object does not exist. When only versions are left that cannot be removed, it returns a
// *VersionsKeptError.
func (s *Store) Delete(ctx context.Context, key string) error {
	out, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.Bucket, Key: &key,
		ExpectedBucketOwner: s.owner})
	if err != nil && statusOf(err) != http.StatusNotFound {
		return fmt.Errorf("delete %s: %w", s.URL(key), awserror.InWords(err))
	}
	if _, incomplete := s.incomplete.Load(key); incomplete {
		if err := s.abort(ctx, key); err != nil {
			return err
		}
	}
	if out != nil && aws.ToBool(out.DeleteMarker) { // the bucket has versions
		return s.deleteVersions(ctx, key)
	}
	return nil
}

// GetURL returns a signed URL to download an object. It works until it expires, and only while the bucket belongs to
// its expected owner.
func (s *Store) GetURL(ctx context.Context, key string, expiry time.Duration) (string, error) {
	in := &s3.GetObjectInput{Bucket: &s.Bucket, Key: &key, ExpectedBucketOwner: s.owner}
	r, err := s.presign.PresignGetObject(ctx, in, s3.WithPresignExpires(expiry))
	if err != nil {
		return "", fmt.Errorf("sign a URL of %s: %w", s.URL(key), awserror.InWords(err))
	}
	return r.URL, nil
}

// Upload is a signed URL to upload an object with PUT and these headers, each as "name: value". There are headers only
// for what S3 accepts only in headers: a chosen encryption, and the condition of PutOnceURL.
type Upload struct {
	URL     string
	Headers []string
}

// PutURL returns a signed upload.
func (s *Store) PutURL(ctx context.Context, key string, expiry time.Duration) (Upload, error) {
	return s.putURL(ctx, key, expiry, nil)
}

// PutOnceURL returns a signed upload that S3 refuses with status 412 once the object exists. Source:
// docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html.
func (s *Store) PutOnceURL(ctx context.Context, key string, expiry time.Duration) (Upload, error) {
	return s.putURL(ctx, key, expiry, aws.String("*"))
}

func (s *Store) putURL(ctx context.Context, key string, expiry time.Duration, noneMatch *string) (Upload, error) {
	r, err := s.presign.PresignPutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.Bucket, Key: &key, ExpectedBucketOwner: s.owner, ServerSideEncryption: s.encryption,
		SSEKMSKeyId: s.kmsKey, IfNoneMatch: noneMatch,
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

// statusOf returns the HTTP status of S3's answer, or 0 for no error or no answer.
func statusOf(err error) int {
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		return response.HTTPStatusCode()
	}
	return 0
}

// regionOf returns the region of a bucket from S3's answer to a request that was sent to another region.
func regionOf(err error) string {
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		if region := response.HTTPResponse().Header.Get("X-Amz-Bucket-Region"); region != "" {
			return region
		}
	}
	return "another region"
}
