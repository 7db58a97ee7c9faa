// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// sweepStaging deletes what is staged in folders whose names say that they have expired, and ends uploads there that were
// broken off. Names of any other form are none of the builder's, or are kept: see staging's keep.
func (s *sweeping) sweepStaging(ctx context.Context) error {
	uploads, uploadErr := s.store.Uploads(ctx, expiringPrefix)
	for _, u := range uploads {
		if expires, ok := expiryOf(s.store.Folder(u.Key)); !ok || !s.over(expires) {
			continue
		}
		if err := s.store.Abort(ctx, u); err != nil {
			uploadErr = errors.Join(uploadErr, err)
			continue
		}
		s.did("the unfinished upload to %s", s.store.URL(u.Key))
	}
	folders, err := s.store.Folders(ctx, expiringPrefix)
	if err != nil {
		return errors.Join(uploadErr, err)
	}
	errs := []error{uploadErr}
	for _, folder := range folders {
		if expires, ok := expiryOf(folder); ok && s.over(expires) {
			errs = append(errs, s.sweepFolder(ctx, folder))
		}
	}
	return errors.Join(errs...)
}

func (s *sweeping) sweepFolder(ctx context.Context, folder string) error {
	keys, err := s.store.Keys(ctx, folder)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := s.store.Delete(ctx, key); err != nil {
			return err
		}
		s.did("%s", s.store.URL(key))
	}
	return nil
}

// sweepRoles removes temporary roles with their profiles. A role is the first that is made of the two, and the last that goes.
func (s *sweeping) sweepRoles(ctx context.Context) error {
	var errs []error
	in := &iam.ListRolesInput{PathPrefix: aws.String(profilePath)}
	for {
		out, err := s.aws.iam.ListRoles(ctx, in)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("look for expired roles: %w", err))...)
		}
		for i := range out.Roles {
			name := aws.ToString(out.Roles[i].RoleName)
			if expires, ok := expiryOf(name); ok && s.over(expires) {
				errs = append(errs, s.sweepRole(ctx, name))
			}
		}
		if in.Marker = out.Marker; !out.IsTruncated {
			return errors.Join(errs...)
		}
	}
}

// sweepRole removes a role if its tags, too, say that it is one of ours.
func (s *sweeping) sweepRole(ctx context.Context, name string) error {
	out, err := s.aws.iam.ListRoleTags(ctx, &iam.ListRoleTagsInput{RoleName: aws.String(name)})
	if err != nil {
		return orGone(fmt.Errorf("look at the tags of the expired role %s: %w", name, err), codeNoEntity)
	}
	tags := map[string]string{}
	for _, t := range out.Tags {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	expires, err := time.Parse(time.RFC3339, tags[tagExpires])
	if err != nil || !s.over(expires) || !isBakeID(tags[tagBake]) {
		return nil //nolint:nilerr // a tag that cannot be read says nothing
	}
	if err := removeProfile(ctx, s.aws.iam, name, time.Time{}); err != nil {
		return fmt.Errorf("remove the expired role %s: %w", path.Join(profilePath, name), err)
	}
	s.did("the role and instance profile %s of bake %s", name, tags[tagBake])
	return nil
}
