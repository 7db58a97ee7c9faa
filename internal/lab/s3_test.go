// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"bytes"
	"crypto/rand"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

func TestS3Objects(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	c, ctx := s3.NewFromConfig(sdk(l)), t.Context()
	body := make([]byte, 300<<10)
	_, _ = rand.Read(body)
	_, err := c.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(lab.Bucket), Key: aws.String("a b/c+d.tgz"), Body: bytes.NewReader(body),
		ContentType: aws.String("application/gzip"),
		Metadata:    map[string]string{"sha256": "abc"}, ChecksumAlgorithm: s3types.ChecksumAlgorithmSha256,
	})
	if err != nil {
		t.Fatal(err)
	}
	head, err := c.HeadObject(ctx,
		&s3.HeadObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("a b/c+d.tgz"),
			ChecksumMode: s3types.ChecksumModeEnabled})
	if err != nil || head.Metadata["sha256"] != "abc" || *head.ContentLength != int64(len(body)) ||
		aws.ToString(head.ChecksumSHA256) == "" ||
		aws.ToString(head.ContentType) != "application/gzip" {
		t.Errorf("%+v %v", head, err)
	}
	got, err := c.GetObject(ctx,
		&s3.GetObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("a b/c+d.tgz"),
			Range: aws.String("bytes=10-19")})
	if err != nil {
		t.Fatal(err)
	}
	if part, _ := io.ReadAll(got.Body); !bytes.Equal(part, body[10:20]) {
		t.Error("a range differs")
	}
	list, err := c.ListObjectsV2(ctx,
		&s3.ListObjectsV2Input{Bucket: aws.String(lab.Bucket), Prefix: aws.String("a b/")})
	if err != nil || len(list.Contents) != 1 || *list.Contents[0].Key != "a b/c+d.tgz" {
		t.Errorf("%+v %v", list, err)
	}
	_, err = c.PutObject(ctx,
		&s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("x"), Body: strings.NewReader("x"),
			ChecksumSHA256: aws.String("AAAA")})
	if codeOf(err) != "BadDigest" {
		t.Errorf("a wrong checksum: %v", err)
	}
	_, err = c.PutObject(ctx,
		&s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("a b/c+d.tgz"), Body: strings.NewReader("x"),
			IfNoneMatch: aws.String("*")})
	if codeOf(err) != "PreconditionFailed" {
		t.Errorf("over an object: %v", err)
	}
	if _, err := c.DeleteObject(ctx,
		&s3.DeleteObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("a b/c+d.tgz")}); err != nil {
		t.Error(err)
	}
	_, err = c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("a b/c+d.tgz")})
	if codeOf(err) != "NotFound" {
		t.Error(err)
	}
}

func TestMultipartUploads(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	c, ctx := s3.NewFromConfig(sdk(l)), t.Context()
	body := make([]byte, 20<<20)
	_, _ = rand.Read(body)
	up := transfermanager.New(c,
		func(o *transfermanager.Options) { o.PartSizeBytes, o.MultipartUploadThreshold = 8<<20, 8<<20 })
	if _, err := up.UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket: aws.String(lab.Bucket), Key: aws.String("big"), Body: io.MultiReader(bytes.NewReader(body)),
		Metadata: map[string]string{"sha256": "abc"},
	}); err != nil {
		t.Fatal(err)
	}
	got, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("big")})
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(got.Body)
	if err != nil || !bytes.Equal(all, body) || got.Metadata["sha256"] != "abc" ||
		!strings.HasSuffix(*got.ETag, "-3\"") {
		t.Errorf("%d bytes, %v, %s, %v", len(all), got.Metadata, *got.ETag, err)
	}
}

func TestPresignedURLs(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	p := s3.NewPresignClient(s3.NewFromConfig(sdk(l)))
	put, err := p.PresignPutObject(t.Context(),
		&s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("log")})
	if err != nil {
		t.Fatal(err)
	}
	if status, text := fetch(t, http.MethodPut, put.URL, strings.NewReader("the log")); status != http.StatusOK {
		t.Errorf("put: %d %s", status, text)
	}
	in := &s3.GetObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("log")}
	get, err := p.PresignGetObject(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	short, err := p.PresignGetObject(t.Context(), in, s3.WithPresignExpires(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the short one expires", func() bool {
		status, text := fetch(t, http.MethodGet, short.URL, nil)
		return status == http.StatusForbidden &&
			strings.Contains(text, "<Code>AccessDenied</Code><Message>Request has expired</Message>")
	})
	for _, step := range []struct {
		name, url string
		status    int
		text      string
	}{
		{"as signed", get.URL, 200, "the log"},
		{"tampered with", strings.Replace(get.URL, "/log?", "/other?", 1), 403, "SignatureDoesNotMatch"},
		{"for another method", put.URL, 403, "SignatureDoesNotMatch"},
		{"unsigned", strings.SplitN(get.URL, "?", 2)[0], 403, "AccessDenied"},
	} {
		if status, text := fetch(t, http.MethodGet, step.url, nil); status != step.status ||
			!strings.Contains(text, step.text) {
			t.Errorf("%s: %d %s", step.name, status, text)
		}
	}
}

func TestS3ObjectAttributes(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Options{})
	c, ctx := s3.NewFromConfig(sdk(l)), t.Context()
	put, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("k"),
		Body: strings.NewReader("hello"), ChecksumAlgorithm: s3types.ChecksumAlgorithmSha256})
	if err != nil {
		t.Fatal(err)
	}
	get := func(key string, wanted ...s3types.ObjectAttributes) (*s3.GetObjectAttributesOutput, error) {
		return c.GetObjectAttributes(ctx, &s3.GetObjectAttributesInput{Bucket: aws.String(lab.Bucket), Key: &key,
			ObjectAttributes: wanted})
	}
	got, err := get("k", "ETag", "Checksum", "StorageClass", "ObjectSize", "ObjectParts")
	if err != nil || aws.ToInt64(got.ObjectSize) != 5 || "\""+aws.ToString(got.ETag)+"\"" != *put.ETag ||
		aws.ToString(got.Checksum.ChecksumSHA256) != "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=" ||
		got.StorageClass != "STANDARD" ||
		got.ObjectParts != nil || got.LastModified == nil {
		t.Errorf("%+v %v", got, err)
	}
	if got, err := get("k", "ObjectSize"); err != nil || got.ETag != nil || got.Checksum != nil {
		t.Errorf("the size alone: %+v %v", got, err)
	}
	_, err = get("none", "ETag")
	code(t, "NoSuchKey", err)
	_, err = get("k", "MadeUp")
	code(t, "InvalidArgument", err)
	_, err = c.GetObjectAcl(ctx, &s3.GetObjectAclInput{Bucket: aws.String(lab.Bucket), Key: aws.String("k")})
	code(t, "NotImplemented", err)
	_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("k"),
		Body: strings.NewReader("x"), StorageClass: "MADE_UP"})
	code(t, "InvalidStorageClass", err)
	_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("k"),
		Body: strings.NewReader("x"), ServerSideEncryption: "made-up"})
	code(t, "InvalidArgument", err)
}
