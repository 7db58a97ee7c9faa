// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sweep

import (
	"context"
	"errors"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// sweepStaging deletes what is staged in folders whose names say that they have expired, and aborts unfinished uploads
// there. Names of any other form are not the builder's, or are kept: see the setting keep of staging.
func (s *Sweeper) sweepStaging(ctx context.Context, r *Result) error {
	uploadErr := s.abortUploads(ctx, r)
	folders, err := s.Store.Folders(ctx, bake.ExpiringPrefix)
	if err != nil {
		return errors.Join(uploadErr, err)
	}
	errs := []error{uploadErr}
	for _, folder := range folders {
		if s.hasExpiredName(folder) {
			errs = append(errs, s.deleteFolder(ctx, folder, r))
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

// deleteFolder deletes everything that is staged in a folder.
func (s *Sweeper) deleteFolder(ctx context.Context, folder string, r *Result) error {
	keys, err := s.Store.Keys(ctx, folder)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := s.Store.Delete(ctx, key); err != nil {
			return err
		}
		s.report(r, "%s", s.Store.URL(key))
	}
	return nil
}

// hasExpiredName reports whether a name says that the thing has expired.
func (s *Sweeper) hasExpiredName(name string) bool {
	expires, ok := bake.ParseExpiringName(name)
	return ok && s.mayRemove(expires)
}
