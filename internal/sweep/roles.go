// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sweep

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/instanceprofile"
	"github.com/amibakery/packer-plugin-bakery/internal/ownership"
)

// sweepRoles removes temporary roles with their instance profiles. A bake makes the role first and removes it last, so
// no profile is left without its role.
func (s *Sweeper) sweepRoles(ctx context.Context, r *Result) error {
	var errs []error
	in := &iam.ListRolesInput{PathPrefix: aws.String(instanceprofile.Path)}
	for {
		out, err := s.Clients.IAM.ListRoles(ctx, in)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("look for expired roles: %w", err))...)
		}
		for i := range out.Roles {
			if name := aws.ToString(out.Roles[i].RoleName); s.hasExpiredName(name) {
				errs = append(errs, s.removeRole(ctx, name, r))
			}
		}
		if in.Marker = out.Marker; !out.IsTruncated {
			return errors.Join(errs...)
		}
	}
}

// removeRole removes a role and its profile, but only when its tags also say that a bake made it and that it has
// expired.
func (s *Sweeper) removeRole(ctx context.Context, name string, r *Result) error {
	out, err := s.Clients.IAM.ListRoleTags(ctx, &iam.ListRoleTagsInput{RoleName: aws.String(name)})
	if err != nil {
		err = fmt.Errorf("look at the tags of the expired role %s: %w", name, err)
		return awscall.IgnoreNotFound(err, awscall.CodeNoSuchEntity)
	}
	tags := instanceprofile.TagMap(out.Tags)
	expires, err := time.Parse(time.RFC3339, tags[bake.TagExpires])
	isOwn := guest.IsBakeID(tags[bake.TagBake]) && strings.HasSuffix(name, "-"+tags[bake.TagBake]) &&
		ownership.HasOwnID(tags, name)
	if err != nil || !s.mayRemove(expires) || !isOwn {
		return nil //nolint:nilerr // a role whose tag cannot be read stays
	}
	if err := instanceprofile.CheckOwn(ctx, s.Clients.IAM, name); err != nil {
		return fmt.Errorf("the expired role %s stays: %w", path.Join(instanceprofile.Path, name), err)
	}
	if err := instanceprofile.Remove(ctx, s.Clients.IAM, name, time.Time{}); err != nil {
		return fmt.Errorf("remove the expired role %s: %w", path.Join(instanceprofile.Path, name), err)
	}
	s.report(r, "the role and instance profile %s of bake %s", name, tags[bake.TagBake])
	return nil
}
