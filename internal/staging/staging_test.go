// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package staging

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"
)

func TestParseURL(t *testing.T) {
	for given, want := range map[string]Location{
		"s3://bucket":              {"bucket", ""},
		"s3://bucket/":             {"bucket", ""},
		"s3://my.bucket-1/a/b":     {"my.bucket-1", "a/b"},
		"s3://bucket/a/b/":         {"bucket", "a/b"},
		"s3://bucket/..a/b../.c.":  {"bucket", "..a/b../.c."},
		"s3://bucket/with a space": {"bucket", "with a space"},
	} {
		got, err := ParseURL(given)
		if err != nil || got != want {
			t.Errorf("ParseURL(%q) = %+v, %v; want %+v", given, got, err, want)
		}
	}
	for _, given := range []string{"", "bucket", "https://bucket", "s3://", "s3:///x", "s3://Bucket", "s3://b",
		"s3://bucket/a?b", "s3://bucket/a#b",
		// What programs clean: keys would be elsewhere than where they are looked for.
		"s3://bucket//", "s3://bucket//a", "s3://bucket/a//", "s3://bucket/a//b", "s3://bucket/.", "s3://bucket/..",
		"s3://bucket/../a", "s3://bucket/a/./b", "s3://bucket/a/../b", "s3://bucket/a/.."} {
		if got, err := ParseURL(given); err == nil {
			t.Errorf("ParseURL(%q) = %+v, want an error", given, got)
		}
	}
}

func TestLocationKeys(t *testing.T) {
	at := Location{"bucket", "a/b"}
	if got := at.Key("sum", "fs.tgz"); got != "a/b/sum/fs.tgz" {
		t.Errorf("the key is %q", got)
	}
	if got := (Location{Bucket: "bucket"}).Key("x"); got != "x" {
		t.Errorf("the key without a prefix is %q", got)
	}
	if got := at.String(); got != "s3://bucket/a/b" {
		t.Errorf("the location is %q", got)
	}
}

// service starts an S3 that checks signatures, and returns a store in it and its URL. Change, when not nil, wraps its
// handler.
func service(t *testing.T, bucket string, change func(http.Handler) http.Handler) (*Store, string) {
	t.Helper()
	const id, secret = "AKIDTESTTESTTEST", "secret-of-the-test"
	backend := s3mem.New()
	if err := backend.CreateBucket(t.Context(), "bucket"); err != nil {
		t.Fatal(err)
	}
	handler := gofakes3.New(backend, gofakes3.WithV4Auth(map[string]string{id: secret})).Server()
	if change != nil {
		handler = change(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	cfg := aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL),
		Credentials: credentials.NewStaticCredentialsProvider(id, secret, ""),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
	return New(cfg, Location{Bucket: bucket, Prefix: "some prefix"}, Options{}), server.URL
}

func object(key string, content []byte) Object {
	sum := sha256.Sum256(content)
	return Object{
		Key: key, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(content)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil },
	}
}

func TestStoreUploadsReadsAndDeletes(t *testing.T) {
	store, _ := service(t, "bucket", nil)
	if err := store.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, size := range map[string]int{"small": 3, "of several parts": 20 << 20} {
		t.Run(name, func(t *testing.T) {
			content := bytes.Repeat([]byte("x+y"), size/3)
			o := object(store.Key(name, "fs.tgz"), content)
			if there, err := store.Has(t.Context(), o); err != nil || there {
				t.Fatalf("before the upload: %v, %v", there, err)
			}
			if err := store.Put(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			if there, err := store.Has(t.Context(), o); err != nil || !there {
				t.Errorf("after the upload: %v, %v", there, err)
			}
			other := o
			other.SHA256 = strings.Repeat("0", 64)
			if there, err := store.Has(t.Context(), other); err != nil || there {
				t.Errorf("other content is there: %v, %v", there, err)
			}
			if got := read(t, store, o.Key); !bytes.Equal(got, content) {
				t.Errorf("read %d bytes, want %d", len(got), len(content))
			}
			for range 2 { // the second time, there is nothing to delete
				if err := store.Delete(t.Context(), o.Key); err != nil {
					t.Error(err)
				}
			}
			if got := read(t, store, o.Key); got != nil {
				t.Errorf("read %d bytes of what was deleted", len(got))
			}
		})
	}
}

func read(t *testing.T, store *Store, key string) []byte {
	t.Helper()
	body, err := store.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if body == nil {
		return nil
	}
	defer body.Close()
	content, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// fetch makes a request as the machine does, which knows only the URL.
func fetch(t *testing.T, method, url string, body io.Reader) (int, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, content
}

func TestSignedURLsNeedNoCredentials(t *testing.T) {
	store, _ := service(t, "bucket", nil)
	key := store.Key("a b", "log.gz")
	put, err := store.PutURL(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status, body := fetch(t, http.MethodPut, put.URL, strings.NewReader("the log")); status != http.StatusOK {
		t.Fatalf("an upload to %s: %d %s", put.URL, status, body)
	}
	if strings.Contains(put.URL, "checksum") || put.Headers != nil {
		t.Errorf("the URL works only for one content: %+v", put)
	}
	get, err := store.GetURL(t.Context(), key, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if status, body := fetch(t, http.MethodGet, get, nil); status != http.StatusOK || string(body) != "the log" {
		t.Errorf("a download: %d %s", status, body)
	}
	if status, _ := fetch(t, http.MethodGet, get+"x", nil); status == http.StatusOK {
		t.Error("a URL whose signature was changed works")
	}
	plain, err := store.PlainURL(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if want, _, _ := strings.Cut(get, "?"); plain != want {
		t.Errorf("the plain URL is %s, want %s", plain, want)
	}
}

// A computer whose clock is wrong signs with AWS's: a machine uses the URLs by that.
func TestURLsAreSignedByTheClockOfAWS(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	cfg := aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", "")}
	store := New(cfg, Location{Bucket: "bucket"}, Options{Now: func() time.Time { return now }})
	url, err := store.GetURL(t.Context(), "a b+c/é", time.Minute)
	isSigned := strings.Contains(url, "X-Amz-Date=20260102T030405Z")
	if err != nil || !isSigned || !strings.Contains(url, "/a%20b%2Bc/%C3%A9?") {
		t.Errorf("%v: %s", err, url)
	}
}

func TestCheckReportsProblemsOfTheBucket(t *testing.T) {
	answer := func(status int) func(http.Handler) http.Handler {
		return func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("X-Amz-Bucket-Region", "eu-central-1")
				w.WriteHeader(status)
			})
		}
	}
	for name, c := range map[string]struct {
		bucket string
		change func(http.Handler) http.Handler
		want   string
		denied bool
	}{
		"there is none":    {"other", nil, "there is none of that name", false},
		"it is elsewhere":  {"bucket", answer(http.StatusMovedPermanently), "eu-central-1", false},
		"access is denied": {"bucket", answer(http.StatusForbidden), "access denied", true},
		"S3 has an error":  {"bucket", answer(http.StatusInternalServerError), "look at bucket", false},
	} {
		t.Run(name, func(t *testing.T) {
			store, _ := service(t, c.bucket, c.change)
			err := store.Check(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrDenied) != c.denied {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestPutLeavesNothingOfAnUploadThatFails(t *testing.T) {
	store, _ := service(t, "bucket", nil)
	o := object(store.Key("x"), nil)
	o.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(make([]byte, 17<<20)), failingReader{})), nil
	}
	if err := store.Put(t.Context(), o); err == nil || !strings.Contains(err.Error(), "s3://bucket/some prefix/x") {
		t.Errorf("the error is %v", err)
	}
	if got := read(t, store, o.Key); got != nil {
		t.Errorf("%d bytes are there", len(got))
	}
	o.Open = func() (io.ReadCloser, error) { return nil, errors.New("no such file") }
	if err := store.Put(t.Context(), o); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("the error is %v", err)
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("the disk is broken") }

// recordHeaders records the headers of every request, by method, and calls the next handler.
func recordHeaders(recorded map[string][]http.Header) func(http.Handler) http.Handler {
	var mu sync.Mutex // the parts of an upload arrive at the same time
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			recorded[r.Method] = append(recorded[r.Method], r.Header.Clone())
			mu.Unlock()
			next.ServeHTTP(w, r)
		})
	}
}

func TestEveryCallNamesTheOwnerAndUploadsTheEncryption(t *testing.T) {
	recorded := map[string][]http.Header{}
	plain, _ := service(t, "bucket", recordHeaders(recorded))
	store := *plain
	store.owner, store.encryption, store.kmsKey = nonZeroPtr("123456789012"), "aws:kms", nonZeroPtr("alias/of-ours")
	for _, size := range []int{3, 12 << 20} { // in one piece, and in parts
		o := object(store.Key("x"), make([]byte, size))
		_, hasErr := store.Has(t.Context(), o)
		_, openErr := store.Open(t.Context(), o.Key)
		if err := errors.Join(store.Check(t.Context()), hasErr, openErr, store.Put(t.Context(), o),
			store.Delete(t.Context(), o.Key)); err != nil {
			t.Fatal(err)
		}
	}
	encrypted := 0
	for method, all := range recorded {
		for _, h := range all {
			if got := h.Get("X-Amz-Expected-Bucket-Owner"); got != "123456789012" {
				t.Errorf("a %s is for the owner %q", method, got)
			}
			if h.Get("X-Amz-Acl") != "" || h.Get("X-Amz-Grant-Read") != "" {
				t.Errorf("a %s opens the object to others", method)
			}
			if h.Get("X-Amz-Server-Side-Encryption") == "aws:kms" &&
				h.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") == "alias/of-ours" {
				encrypted++
			}
		}
	}
	if encrypted != 2 { // PutObject, and CreateMultipartUpload for all its parts
		t.Errorf("%d uploads are encrypted with the key", encrypted)
	}
}

func TestSignedURLsNameTheOwnerAndTheHeadersToSend(t *testing.T) {
	plain, _ := service(t, "bucket", nil)
	store := *plain
	store.owner, store.encryption, store.kmsKey = nonZeroPtr("123456789012"), "aws:kms", nonZeroPtr("alias/of-ours")
	put, err := store.PutURL(t.Context(), store.Key("log.gz"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	want := "x-amz-server-side-encryption: aws:kms|x-amz-server-side-encryption-aws-kms-key-id: alias/of-ours"
	if got := strings.Join(put.Headers, "|"); got != want {
		t.Errorf("the headers are %s", got)
	}
	get, err := store.GetURL(t.Context(), store.Key("log.gz"), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, signed := range []string{put.URL, get} {
		if !strings.Contains(strings.ToLower(signed), "x-amz-expected-bucket-owner=123456789012") {
			t.Errorf("the URL works for any owner: %s", signed)
		}
		if !strings.Contains(signed, "X-Amz-Expires=60&") {
			t.Errorf("the URL does not end after a minute: %s", signed)
		}
	}
	if status, body := fetch(t, http.MethodGet, get, nil); status != http.StatusNotFound {
		t.Errorf("S3 does not accept the URL: %d %s", status, body)
	}
}

// otherAccountsBucket answers as S3 does for a bucket that does not belong to the expected account:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html.
func otherAccountsBucket(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if owner := r.Header.Get("X-Amz-Expected-Bucket-Owner"); owner != "" && owner != "999999999999" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func TestABucketOfAnotherAccountIsRefused(t *testing.T) {
	plain, _ := service(t, "bucket", otherAccountsBucket)
	store := *plain
	store.owner = nonZeroPtr("123456789012")
	const want = "bucket bucket does not belong to account 123456789012: if it is meant to belong to another, set " +
		"expected_bucket_owner"
	for name, err := range map[string]error{
		"the check": store.Check(t.Context()), "an upload": store.Put(t.Context(),
			object(store.Key("x"), []byte("secret"))),
	} {
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, ErrDenied) ||
			!errors.Is(err, ErrWrongOwner) {
			t.Errorf("%s says %v", name, err)
		}
	}
	if got := read(t, plain, store.Key("x")); got != nil {
		t.Errorf("it was given %d bytes", len(got))
	}
	store.owner = nonZeroPtr("999999999999")
	if err := store.Check(t.Context()); err != nil {
		t.Errorf("the owner's own bucket: %v", err)
	}
}

// The bucket may belong to an attacker, so its answers must not be trusted, such as an enormous size.
func TestHasDoesNotTrustTheAnswer(t *testing.T) {
	store, _ := service(t, "bucket", func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Amz-Meta-Bakery-Sha256", strings.Repeat("ab", 32))
			w.Header().Set("Content-Length", "9223372036854775807")
			w.WriteHeader(http.StatusOK)
		})
	})
	o := object(store.Key("x"), []byte("content"))
	if there, err := store.Has(t.Context(), o); err != nil || there {
		t.Errorf("an object of another checksum and size is taken for ours: %v, %v", there, err)
	}
}
