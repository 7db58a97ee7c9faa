// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instanceprofile

import (
	"context"
	"fmt"
	"path"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// CheckExists returns an error when the instance profile of the settings does not exist. When it cannot find out, it
// only says so: launching the machine needs no other right than iam:PassRole, and also fails when there is no such
// profile.
func CheckExists(ctx context.Context, c *ProfileConfig, api *awscall.IAM, say func(format string, args ...any)) error {
	profile := c.IamInstanceProfile
	if profile == "" || c.SkipProfileValidation {
		return nil
	}
	out, err := api.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{
		InstanceProfileName: aws.String(path.Base(profile)), // of an ARN as well
	})
	switch {
	case awscall.HasCode(err, awscall.CodeNoSuchEntity):
		return fmt.Errorf("iam_instance_profile: there is no instance profile %s in the account; "+
			"skip_profile_validation leaves this check out", profile)
	case err != nil:
		say("Whether there is an instance profile %s cannot be told: %s", profile, err)
	case out.InstanceProfile != nil && len(out.InstanceProfile.Roles) == 0:
		return fmt.Errorf("iam_instance_profile: the instance profile %s has no role, and EC2 launches no machine "+
			"with it: add one with aws iam add-role-to-instance-profile", profile)
	}
	return nil
}
