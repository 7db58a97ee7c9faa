// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// bucketTest is a client of the lab's bucket, and the names of versions in the order of their making.
type bucketTest struct {
	*testing.T
	*s3.Client
	names map[string]string
}

func newBucketTest(t *testing.T) *bucketTest {
	t.Helper()
	l := labtest.Start(t, lab.Options{})
	client := s3.NewFromConfig(sdk(l), func(o *s3.Options) {
		o.UsePathStyle, o.RequestChecksumCalculation = true, aws.RequestChecksumCalculationWhenSupported
	})
	return &bucketTest{t, client,
		map[string]string{"null": "null", "": ""}}
}

func (b *bucketTest) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// name returns the name of a version: v1 for the first one.
func (b *bucketTest) name(id string) string {
	if b.names[id] == "" && id != "" {
		b.names[id] = fmt.Sprintf("v%d", len(b.names)-1)
	}
	return b.names[id]
}

func (b *bucketTest) id(name string) *string {
	for id, other := range b.names {
		if other == name {
			return aws.String(id)
		}
	}
	return aws.String(name)
}

func (b *bucketTest) versioning(status types.BucketVersioningStatus) {
	b.Helper()
	_, err := b.PutBucketVersioning(b.Context(), &s3.PutBucketVersioningInput{Bucket: aws.String(lab.Bucket),
		VersioningConfiguration: &types.VersioningConfiguration{Status: status}})
	b.must(err)
}

func (b *bucketTest) put(key, text string) string {
	b.Helper()
	out, err := b.PutObject(b.Context(), &s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: &key,
		Body: strings.NewReader(text)})
	b.must(err)
	return b.name(aws.ToString(out.VersionId))
}

// remove deletes a key, or a version of it, and returns the version that was made or deleted.
func (b *bucketTest) remove(key, version string) string {
	b.Helper()
	in := &s3.DeleteObjectInput{Bucket: aws.String(lab.Bucket), Key: &key}
	if version != "" {
		in.VersionId = b.id(version)
	}
	out, err := b.DeleteObject(b.Context(), in)
	b.must(err)
	name := b.name(aws.ToString(out.VersionId))
	if aws.ToBool(out.DeleteMarker) {
		name += " marker"
	}
	return name
}

func (b *bucketTest) read(key string) string {
	b.Helper()
	out, err := b.GetObject(b.Context(), &s3.GetObjectInput{Bucket: aws.String(lab.Bucket), Key: &key})
	if err != nil {
		return codeOf(err)
	}
	text, err := io.ReadAll(out.Body)
	b.must(err)
	return string(text)
}

// list returns all versions and markers, with pages of a size.
func (b *bucketTest) list(size int32) (all []string) {
	b.Helper()
	pages := s3.NewListObjectVersionsPaginator(b.Client, &s3.ListObjectVersionsInput{Bucket: aws.String(lab.Bucket),
		MaxKeys: &size})
	for pages.HasMorePages() {
		page, err := pages.NextPage(b.Context())
		b.must(err)
		for _, v := range page.Versions {
			all = append(all, fmt.Sprint(*v.Key, " ", b.name(*v.VersionId), " ", *v.IsLatest))
		}
		for _, m := range page.DeleteMarkers {
			all = append(all, fmt.Sprint(*m.Key, " ", b.name(*m.VersionId), " ", *m.IsLatest, " marker"))
		}
	}
	return all
}

func (b *bucketTest) same(what string, want, got any) {
	b.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		b.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// TestVersions tests a bucket before, with and after versioning:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html.
func TestVersions(t *testing.T) {
	b := newBucketTest(t)
	b.same("a version without versioning", "", b.put("a", "0"))
	b.versioning(types.BucketVersioningStatusEnabled)
	b.same("versions", []string{"v1", "v2", "v3"}, []string{b.put("a", "1"), b.put("a", "2"), b.put("b", "3")})
	b.same("a", "2", b.read("a"))
	b.same("what deleting makes", "v4 marker", b.remove("a", ""))
	b.same("a, deleted", "NoSuchKey", b.read("a"))
	want := []string{"a v4 true marker", "a v2 false", "a v1 false", "a null false", "b v3 true"}
	for _, size := range []int32{1, 2, 1000} {
		got := b.list(size)
		slices.Sort(got)
		sorted := slices.Sorted(slices.Values(want))
		b.same(fmt.Sprintf("all, with pages of %d", size), sorted, got)
	}
	b.same("a deleted marker", "v4 marker", b.remove("a", "v4"))
	b.same("a, without its marker", "2", b.read("a"))
	b.remove("a", "v2")
	b.same("a, without its newest version", "1", b.read("a"))
	b.versioning(types.BucketVersioningStatusSuspended)
	b.put("a", "4")
	b.put("a", "5")
	b.same("what deleting makes then", "null marker", b.remove("a", ""))
	b.same("all, suspended", []string{"a v1 false", "b v3 true", "a null true marker"}, b.list(1000))
	for _, one := range [][2]string{{"a", "null"}, {"a", "v1"}, {"b", "v3"}, {"b", "v3"}} {
		b.remove(one[0], one[1])
	}
	b.same("all, deleted", []string(nil), b.list(1000))
}

func TestFoldersOfVersions(t *testing.T) {
	b := newBucketTest(t)
	b.versioning(types.BucketVersioningStatusEnabled)
	for _, key := range []string{"p/a/1", "p/a/2", "p/b/1", "q"} {
		b.put(key, "x")
	}
	b.remove("p/b/1", "")
	var folders []string
	pages := s3.NewListObjectVersionsPaginator(b.Client, &s3.ListObjectVersionsInput{Bucket: aws.String(lab.Bucket),
		Prefix: aws.String("p/"), Delimiter: aws.String("/"), MaxKeys: aws.Int32(1)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		b.must(err)
		for _, p := range page.CommonPrefixes {
			folders = append(folders, *p.Prefix)
		}
	}
	b.same("folders", []string{"p/a/", "p/b/"}, folders)
}

// TestObjectLock tests a bucket with a default retention:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-configure.html.
func TestObjectLock(t *testing.T) {
	b := newBucketTest(t)
	bucket := aws.String(lab.Bucket)
	_, err := b.GetObjectLockConfiguration(t.Context(), &s3.GetObjectLockConfigurationInput{Bucket: bucket})
	b.same("a bucket without", "ObjectLockConfigurationNotFoundError", codeOf(err))
	lock := &s3.PutObjectLockConfigurationInput{Bucket: bucket, ObjectLockConfiguration: &types.ObjectLockConfiguration{
		ObjectLockEnabled: types.ObjectLockEnabledEnabled, Rule: &types.ObjectLockRule{
			DefaultRetention: &types.DefaultRetention{Mode: types.ObjectLockRetentionModeCompliance,
				Days: aws.Int32(1)},
		},
	}}
	_, err = b.PutObjectLockConfiguration(t.Context(), lock)
	b.same("a bucket without versions", "InvalidBucketState", codeOf(err))
	b.versioning(types.BucketVersioningStatusEnabled)
	_, err = b.PutObjectLockConfiguration(t.Context(), lock)
	b.must(err)
	version := b.put("a", "x") // the SDK sends a checksum
	in := &s3.DeleteObjectsInput{Bucket: bucket, Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: aws.String("a"), VersionId: b.id(version)},
	}}}
	out, err := b.DeleteObjects(t.Context(), in)
	b.must(err)
	if len(out.Errors) != 1 || !strings.Contains(*out.Errors[0].Message, "object lock") {
		t.Errorf("a locked version can be deleted: %+v", out)
	}
	b.same("a marker", "v2 marker", b.remove("a", ""))
	b.same("a deleted marker", "v2 marker", b.remove("a", "v2"))

	// A signed URL cannot have the checksum of what nobody knows yet, and S3 accepts no other.
	signed, err := s3.NewPresignClient(s3.New(b.Options(), func(o *s3.Options) {
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	})).PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: bucket, Key: aws.String("log")})
	b.must(err)
	for header, want := range map[string]string{"": "InvalidRequest", "nhB9nTcrtoJr2B01QqQZ1g==": "HeadersNotSigned"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, signed.URL, strings.NewReader("x"))
		b.must(err)
		if header != "" {
			r.Header.Set("Content-MD5", header)
		}
		response, err := http.DefaultClient.Do(r)
		b.must(err)
		text, err := io.ReadAll(response.Body)
		b.must(err)
		_ = response.Body.Close()
		if want == "HeadersNotSigned" {
			want = "not signed"
		}
		if response.StatusCode < 400 || !strings.Contains(string(text), want) {
			t.Errorf("with Content-MD5 %q: %s %s", header, response.Status, text)
		}
	}
}

func TestLifecycleAndPolicyOfBuckets(t *testing.T) {
	b := newBucketTest(t)
	bucket := aws.String(lab.Bucket)
	_, err := b.GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: bucket})
	b.same("no policy", "NoSuchBucketPolicy", codeOf(err))
	_, err = b.GetBucketLifecycleConfiguration(t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: bucket})
	b.same("no lifecycle", "NoSuchLifecycleConfiguration", codeOf(err))
	_, err = b.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: bucket, Policy: aws.String("{}")})
	b.must(err)
	policy, err := b.GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: bucket})
	b.must(err)
	b.same("the policy", "{}", *policy.Policy)
	rule := types.LifecycleRule{ID: aws.String("old"), Status: types.ExpirationStatusEnabled,
		Filter:                      &types.LifecycleRuleFilter{Prefix: aws.String("p/")},
		NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(1)}}
	_, err = b.PutBucketLifecycleConfiguration(t.Context(), &s3.PutBucketLifecycleConfigurationInput{Bucket: bucket,
		LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: []types.LifecycleRule{rule}}})
	b.must(err)
	got, err := b.GetBucketLifecycleConfiguration(t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: bucket})
	b.must(err)
	b.same("the lifecycle", "old", *got.Rules[0].ID)
	_, err = b.DeleteBucketPolicy(t.Context(), &s3.DeleteBucketPolicyInput{Bucket: bucket})
	b.must(err)
	_, err = b.GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: bucket})
	b.same("the deleted policy", "NoSuchBucketPolicy", codeOf(err))
}
