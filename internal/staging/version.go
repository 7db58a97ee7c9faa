// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package staging

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awserror"
)

// The rights that are needed to remove versions: https://docs.aws.amazon.com/AmazonS3/latest/userguide/list_amazons3.html.
const (
	rightListVersions  = "s3:ListBucketVersions"
	rightDeleteVersion = "s3:DeleteObjectVersion"
)

// VersionsKeptError is returned when a bucket with versions keeps those of an object, although the object was deleted.
type VersionsKeptError struct {
	URL    string
	Right  string // that is missing; "" when Object Lock protects the versions
	Reason string // what S3 says
}

func (e *VersionsKeptError) Error() string {
	if e.Right == "" {
		return fmt.Sprintf("S3 keeps versions of %s, which Object Lock protects: %s", e.URL, e.Reason)
	}
	return fmt.Sprintf("S3 keeps old versions of %s, which cannot be removed without the right to %s: %s", e.URL,
		e.Right, e.Reason)
}

// version is a version of an object, or a delete marker.
type version struct{ key, id string }

// deleteVersions removes all versions of a key that is deleted, with the markers. Without the right to list them, it
// removes those that this store has made, and no marker: without it, one of the others would be the object again.
func (s *Store) deleteVersions(ctx context.Context, key string) error {
	all, err := s.listVersions(ctx, key, func(v version, _ bool) bool { return v.key == key })
	if statusOf(err) != http.StatusForbidden {
		if err != nil {
			return err
		}
		return s.remove(ctx, all)
	}
	denied := &VersionsKeptError{s.URL(key), rightListVersions, awserror.InWords(err).Error()}
	if err := s.remove(ctx, s.madeVersions(key)); err != nil {
		return err
	}
	return denied
}

// madeVersions returns the versions of a key that uploads of this store have made.
func (s *Store) madeVersions(key string) (all []version) {
	s.versions.Range(func(one, _ any) bool {
		if v := one.(version); v.key == key { //nolint:forcetypeassert // only versions are stored
			all = append(all, v)
		}
		return true
	})
	return all
}

// DeleteOld removes all versions of a key but the current one.
func (s *Store) DeleteOld(ctx context.Context, key string) error {
	old, err := s.listVersions(ctx, key, func(v version, isCurrent bool) bool { return v.key == key && !isCurrent })
	if statusOf(err) == http.StatusForbidden {
		return &VersionsKeptError{s.URL(key), rightListVersions, awserror.InWords(err).Error()}
	}
	if err != nil {
		return err
	}
	return s.remove(ctx, old)
}

// DeleteVersions removes all versions in a folder, and returns how many there were.
func (s *Store) DeleteVersions(ctx context.Context, folder string) (int, error) {
	all, err := s.listVersions(ctx, s.Key(folder)+"/", func(version, bool) bool { return true })
	if err != nil {
		return 0, err
	}
	return len(all), s.remove(ctx, all)
}

// listVersions returns the versions and delete markers that begin with a prefix and that want chooses.
func (s *Store) listVersions(
	ctx context.Context, prefix string, want func(v version, isCurrent bool) bool,
) ([]version, error) {
	var all []version
	seen := 0
	add := func(key, id *string, isLatest *bool) error {
		v := version{aws.ToString(key), aws.ToString(id)}
		if seen++; !strings.HasPrefix(v.key, prefix) || v.key == "" {
			return fmt.Errorf("list the versions of %s: S3 answers %q, which is not of what was asked for: nothing "+
				"of it is touched", s.URL(prefix), v.key)
		}
		if seen > maxListed {
			return fmt.Errorf("list the versions of %s: there are more than %d", s.URL(prefix), maxListed)
		}
		if !isAmbiguous(v.key) && want(v, aws.ToBool(isLatest)) {
			all = append(all, v)
		}
		return nil
	}
	pages := s3.NewListObjectVersionsPaginator(s.client, &s3.ListObjectVersionsInput{
		Bucket: &s.Bucket, Prefix: &prefix, ExpectedBucketOwner: s.owner,
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("list the versions of %s: %w", s.URL(prefix), awserror.InWords(err))
		}
		var errs []error
		for i := range page.Versions {
			v := &page.Versions[i]
			errs = append(errs, add(v.Key, v.VersionId, v.IsLatest))
		}
		for i := range page.DeleteMarkers {
			m := &page.DeleteMarkers[i]
			errs = append(errs, add(m.Key, m.VersionId, m.IsLatest))
		}
		if err := errors.Join(errs...); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// mostDeleted is how many versions one call deletes.
const mostDeleted = 1000

// remove removes versions for ever. It returns a *VersionsKeptError when S3 refuses that for some of them.
func (s *Store) remove(ctx context.Context, all []version) error {
	var plain []version
	for _, v := range all {
		if isXML(v.key) {
			plain = append(plain, v)
			continue
		}
		_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{
			Bucket: &s.Bucket, Key: &v.key, VersionId: &v.id, ExpectedBucketOwner: s.owner,
		})
		if err != nil {
			return fmt.Errorf("delete a version of %q: %w", v.key, awserror.InWords(err))
		}
	}
	return s.removePlain(ctx, plain)
}

// isXML reports whether a key can be written in XML: https://www.w3.org/TR/xml/#charsets. What is another text
// there, as a carriage return is, cannot.
func isXML(key string) bool {
	return !strings.ContainsFunc(key, func(r rune) bool {
		return r < ' ' || r == utf8.RuneError || r == '\ufffe' || r == '\uffff'
	})
}

// removePlain is remove for keys that can be written in XML, many with one call.
func (s *Store) removePlain(ctx context.Context, all []version) error {
	for some := range slices.Chunk(all, mostDeleted) {
		in := &s3.DeleteObjectsInput{Bucket: &s.Bucket, ExpectedBucketOwner: s.owner,
			Delete: &types.Delete{Quiet: aws.Bool(true)}}
		for _, v := range some {
			in.Delete.Objects = append(in.Delete.Objects, types.ObjectIdentifier{Key: &v.key, VersionId: &v.id})
		}
		out, err := s.client.DeleteObjects(ctx, in)
		if statusOf(err) == http.StatusForbidden {
			return &VersionsKeptError{s.URL(some[0].key), rightDeleteVersion, awserror.InWords(err).Error()}
		}
		if err != nil {
			return fmt.Errorf("delete the versions of %s: %w", s.URL(some[0].key), awserror.InWords(err))
		}
		if err := s.kept(out.Errors); err != nil {
			return err
		}
	}
	return nil
}

// kept returns the error for versions that S3 has not deleted, or nil when it has deleted all of them.
func (s *Store) kept(refused []types.Error) error {
	for i := range refused {
		e := &refused[i]
		reason := fmt.Sprintf("%s (%s)", aws.ToString(e.Message), aws.ToString(e.Code))
		url := s.URL(aws.ToString(e.Key))
		switch {
		case aws.ToString(e.Code) == "NoSuchVersion" || aws.ToString(e.Code) == "NoSuchKey":
		case strings.Contains(strings.ToLower(reason), "object lock"):
			return &VersionsKeptError{url, "", reason}
		case aws.ToString(e.Code) == "AccessDenied":
			return &VersionsKeptError{url, rightDeleteVersion, reason}
		default:
			return fmt.Errorf("delete a version of %s: %s", url, reason)
		}
	}
	return nil
}
