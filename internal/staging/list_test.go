// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package staging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// answering returns a store whose S3 gives one answer to everything.
func answering(t *testing.T, body string) *Store {
	t.Helper()
	store, _ := service(t, "bucket", func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/xml")
			fmt.Fprint(w, body)
		})
	})
	store.Prefix = "prefix"
	return store
}

// What is listed is deleted, so an answer with anything else than what was asked for is not used at all.
func TestListsRefuseWhatWasNotAskedFor(t *testing.T) {
	keys := func(s *Store, ctx context.Context) (int, error) {
		all, _, err := s.Keys(ctx, "folder")
		return len(all), err
	}
	folders := func(s *Store, ctx context.Context) (int, error) {
		all, err := s.Folders(ctx, "fold")
		return len(all), err
	}
	uploads := func(s *Store, ctx context.Context) (int, error) {
		all, err := s.Uploads(ctx, "fold")
		return len(all), err
	}
	for _, tt := range []struct {
		list          func(*Store, context.Context) (int, error)
		form          string
		good, foreign []string
	}{
		{
			keys, "<ListBucketResult><Contents><Key>%s</Key></Contents></ListBucketResult>",
			[]string{"prefix/folder/a", "prefix/folder/", "prefix/folder/a/..b", "prefix/folder//a"},
			[]string{"other/secret", "prefix/folder2/a", "prefix/folder", "folder/a", "/prefix/folder/a", ""},
		},
		{
			folders, "<ListBucketResult><CommonPrefixes><Prefix>%s</Prefix></CommonPrefixes></ListBucketResult>",
			[]string{"prefix/folder/", "prefix/fold/"},
			[]string{"other/folder/", "prefix/other/", "prefix/folder", "prefix/folder/a/", "prefix/fold/../", ""},
		},
		{
			uploads, "<ListMultipartUploadsResult><Upload><Key>%s</Key><UploadId>u</UploadId></Upload>" +
				"</ListMultipartUploadsResult>",
			[]string{"prefix/folder/a", "prefix/fold", "prefix/folder//a"},
			[]string{"other/folder/a", "prefix/a", ""},
		},
	} {
		for _, key := range tt.good {
			if n, err := tt.list(answering(t, fmt.Sprintf(tt.form, key)), t.Context()); n != 1 || err != nil {
				t.Errorf("%q: %d are listed, %v", key, n, err)
			}
		}
		for _, key := range tt.foreign {
			if n, err := tt.list(answering(t, fmt.Sprintf(tt.form, key)), t.Context()); n != 0 || err == nil {
				t.Errorf("%q: %d are listed, %v", key, n, err)
			}
		}
	}
}

// A key that somebody else puts beside those of a bake must not keep these from being deleted, and must not have
// anything else deleted.
func TestListsSetOddKeysApart(t *testing.T) {
	const form = "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>prefix/folder/a</Key></Contents>" +
		"<Contents><Key>%s</Key></Contents></ListBucketResult>"
	for key, isApart := range map[string]bool{
		"prefix/folder/../../other": true, "prefix/folder/./a": true, "prefix/folder/..": true,
		"prefix/folder/%2E%2E/x": true,
		"prefix/folder/%01":      false, "prefix/folder/a+b%26%3C": false, "prefix/folder//a": false,
	} {
		all, apart, err := answering(t, fmt.Sprintf(form, key)).Keys(t.Context(), "folder")
		if err != nil || len(apart) == 1 != isApart || len(all)+len(apart) != 2 {
			t.Errorf("%s: %q and apart %q, %v", key, all, apart, err)
		}
	}
	if _, _, err := answering(t, fmt.Sprintf(form, "prefix/folder/%zz")).Keys(t.Context(), "folder"); err == nil {
		t.Error("a key that is not encoded is used")
	}
}

// A list that never ends ends, before it fills the memory.
func TestListsAreBounded(t *testing.T) {
	page := "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>" +
		strings.Repeat("<Contents><Key>prefix/folder/a</Key></Contents>", maxListed/4) + "</ListBucketResult>"
	if all, _, err := answering(t, page).Keys(t.Context(), "folder"); err == nil {
		t.Errorf("%d keys are listed", len(all))
	}
}

// What is listed of versions is deleted for ever, so an answer with anything else than what was asked for is not used.
func TestVersionsThatWereNotAskedForAreNotDeleted(t *testing.T) {
	const form = "<ListVersionsResult><Version><Key>prefix/folder/a</Key><VersionId>1</VersionId></Version>" +
		"<DeleteMarker><Key>%s</Key><VersionId>2</VersionId></DeleteMarker></ListVersionsResult>"
	for key, refused := range map[string]bool{
		"prefix/folder/a": false, "prefix/folder/b/c": false, "prefix/folder/../../x": false,
		"other/secret": true, "prefix/folder2/a": true, "prefix/folder": true, "": true,
	} {
		var deleted []string
		store, _ := service(t, "bucket", func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodPost {
					body, _ := io.ReadAll(r.Body)
					deleted = append(deleted, string(body))
					fmt.Fprint(w, "<DeleteResult></DeleteResult>")
					return
				}
				fmt.Fprintf(w, form, key)
			})
		})
		store.Prefix = "prefix"
		n, err := store.DeleteVersions(t.Context(), "folder")
		if refused != (err != nil) || refused && (n > 0 || deleted != nil) || !refused && len(deleted) != 1 {
			t.Errorf("%q: %d are deleted, %v: %q", key, n, err, deleted)
		}
		if strings.Contains(strings.Join(deleted, ""), "..") { // which a program could take for another key
			t.Errorf("%q is deleted: %q", key, deleted)
		}
	}
}

// S3 says of each version why it keeps it. A version that is gone is none that is kept.
func TestVersionsThatAreKept(t *testing.T) {
	for name, c := range map[string]struct{ code, message, right, text string }{
		"a missing right": {"AccessDenied", "Access Denied", "s3:DeleteObjectVersion", "without the right to"},
		"Object Lock": {"AccessDenied", "Access Denied because object protected by object lock.", "",
			"which Object Lock protects"},
		"it is gone": {"NoSuchVersion", "", "", ""},
	} {
		store := answering(t, "<DeleteResult><Error><Key>prefix/a</Key><Code>"+c.code+"</Code><Message>"+c.message+
			"</Message></Error></DeleteResult>")
		err := store.remove(t.Context(), []version{{"prefix/a", "1"}})
		kept, isKept := errors.AsType[*VersionsKeptError](err)
		if isKept != (c.text != "") || isKept && (kept.Right != c.right || !strings.Contains(err.Error(), c.text)) ||
			!isKept && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	store := answering(t, "<DeleteResult><Error><Key>prefix/a</Key><Code>InternalError</Code></Error></DeleteResult>")
	err := store.remove(t.Context(), []version{{"prefix/a", "1"}})
	if _, isKept := errors.AsType[*VersionsKeptError](err); err == nil || isKept {
		t.Errorf("an error of S3 is taken for a refusal: %v", err)
	}
}

func TestRetention(t *testing.T) {
	const form = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>%s</ObjectLockConfiguration>"
	retention := func(period string) string {
		return fmt.Sprintf(form, "<Rule><DefaultRetention><Mode>COMPLIANCE</Mode>"+period+"</DefaultRetention></Rule>")
	}
	for name, c := range map[string]struct {
		status     int
		body, want string
		err        error
	}{
		"none":              {http.StatusOK, fmt.Sprintf(form, ""), "", nil},
		"of days":           {http.StatusOK, retention("<Days>30</Days>"), "30 days (COMPLIANCE)", nil},
		"of years":          {http.StatusOK, retention("<Years>7</Years>"), "7 years (COMPLIANCE)", nil},
		"no Object Lock":    {http.StatusNotFound, errorXML("ObjectLockConfigurationNotFoundError"), "", nil},
		"may not be read":   {http.StatusForbidden, errorXML("AccessDenied"), "", ErrUnreadable},
		"not implemented":   {http.StatusNotImplemented, errorXML("NotImplemented"), "", nil},
		"another way there": {http.StatusMethodNotAllowed, errorXML("MethodNotAllowed"), "", nil},
	} {
		store, _ := service(t, "bucket", func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				fmt.Fprint(w, c.body)
			})
		})
		if got, err := store.Retention(t.Context()); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func errorXML(code string) string { return "<Error><Code>" + code + "</Code></Error>" }
