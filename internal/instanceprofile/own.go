// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instanceprofile

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/ownership"
)

// CheckOwn returns an error unless the instance profile of a temporary role's name is one that Make has made, or there
// is none: it has the path and the tags of temporary profiles, and no role but that one.
func CheckOwn(ctx context.Context, api *awscall.IAM, name string) error {
	out, err := api.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: aws.String(name)})
	switch {
	case awscall.HasCode(err, awscall.CodeNoSuchEntity):
		return nil
	case err != nil:
		return fmt.Errorf("look at the instance profile %s: %w", name, err)
	case out.InstanceProfile == nil:
		return fmt.Errorf("look at the instance profile %s: IAM answers nothing", name)
	}
	p := out.InstanceProfile
	if aws.ToString(p.Path) != Path || !ownership.HasOwnID(TagMap(p.Tags), name) {
		return fmt.Errorf("the instance profile %s%s is not what a bake has made", aws.ToString(p.Path), name)
	}
	for _, r := range p.Roles {
		if aws.ToString(r.RoleName) != name {
			return fmt.Errorf("the instance profile %s has the role %s, which no bake has put there", name,
				aws.ToString(r.RoleName))
		}
	}
	return nil
}
