// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sweep

import (
	"context"
	"errors"
	"fmt"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

// sweepStaging deletes what is staged in folders whose names say that they have expired, with all versions, and aborts
// unfinished uploads there. Names of any other form are not the builder's, or are kept: see the setting keep of
// staging.
func (s *Sweeper) sweepStaging(ctx context.Context, r *Result) error {
	err := s.sweepFolders(ctx, r)
	if missingRight(err) == "" {
		return err
	}
	if owner := s.Store.Check(ctx); errors.Is(owner, staging.ErrWrongOwner) { // no right would help
		return owner
	}
	return err
}

func (s *Sweeper) sweepFolders(ctx context.Context, r *Result) error {
	errs := []error{s.abortUploads(ctx, r)}
	folders, err := s.Store.Folders(ctx, bake.ExpiringPrefix)
	listsVersions := missingRight(err) == ""
	if !listsVersions {
		errs = append(errs, err)
		folders, err = s.Store.CurrentFolders(ctx, bake.ExpiringPrefix)
	}
	errs = append(errs, err)
	for _, folder := range folders {
		if s.hasExpiredName(folder) {
			errs = append(errs, s.deleteFolder(ctx, folder, listsVersions, r))
		}
	}
	return errors.Join(errs...)
}

// abortUploads aborts the unfinished uploads to folders that have expired.
func (s *Sweeper) abortUploads(ctx context.Context, r *Result) error {
	uploads, err := s.Store.Uploads(ctx, bake.ExpiringPrefix)
	errs := []error{err}
	for _, u := range uploads {
		if !s.hasExpiredName(s.Store.Folder(u.Key)) {
			continue
		}
		if err := s.Store.Abort(ctx, u); err != nil {
			errs = append(errs, err)
			continue
		}
		s.report(r, "the unfinished upload to %s", s.Store.URL(u.Key))
	}
	return errors.Join(errs...)
}

// deleteFolder deletes everything that is staged in a folder, and the versions that are left of what was deleted
// before. listsVersions says that the credentials may list versions; that they may not is told already.
func (s *Sweeper) deleteFolder(ctx context.Context, folder string, listsVersions bool, r *Result) error {
	keys, ambiguous, err := s.Store.Keys(ctx, folder)
	if err != nil {
		return err
	}
	for _, key := range ambiguous {
		r.Unproven = append(r.Unproven,
			fmt.Sprintf("the key %q, which a program could take for another: %s", key, s.Bake.CLI.CommandIn(
				s.Store.Region(), "s3api delete-object --bucket %s --key %s", bake.Word(s.Store.Bucket),
				bake.Word(key))))
	}
	for _, key := range keys {
		err := s.Store.Delete(ctx, key)
		if _, isKept := errors.AsType[*staging.VersionsKeptError](err); err != nil && !isKept {
			return err
		}
		s.report(r, "%s", s.Store.URL(key))
	}
	n, err := s.Store.DeleteVersions(ctx, folder)
	kept, isKept := errors.AsType[*staging.VersionsKeptError](err)
	switch {
	case n > 0 && err == nil:
		s.report(r, "%d old versions below %s", n, s.Store.URL(s.Store.Key(folder)))
	case isKept && kept.Right == "": // Object Lock protects them, from everybody
		return nil
	case !isKept && !listsVersions && missingRight(err) != "":
		return nil
	}
	return err
}

// hasExpiredName reports whether a name says that the thing has expired.
func (s *Sweeper) hasExpiredName(name string) bool {
	expires, ok := bake.ParseExpiringName(name)
	return ok && s.mayRemove(expires)
}
