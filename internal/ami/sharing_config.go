// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"errors"
	"regexp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// SharingConfig says who else may use the image and its snapshots. It is done when the image is available in every
// region, and all of it in every region; when one of the calls fails, the image is removed everywhere.
type SharingConfig struct {
	// The account ids that may launch the image. Default: none but the account itself.
	AMIUsers []string `mapstructure:"ami_users"`
	// `["all"]` makes the image public; EC2 knows no other group. Default: none.
	AMIGroups []string `mapstructure:"ami_groups"`
	// The ARNs of the AWS Organizations whose accounts may launch the image. Default: none.
	AMIOrgArns []string `mapstructure:"ami_org_arns"`
	// The ARNs of the organizational units whose accounts may launch the image. Default: none.
	AMIOuArns []string `mapstructure:"ami_ou_arns"`
	// The product codes of the image, which EC2 takes from sellers on AWS Marketplace only. Conflicts with
	// `ami_groups`. Default: none.
	AMIProductCodes []string `mapstructure:"ami_product_codes"`
	// The account ids that may make volumes of the image's snapshots, also of those that `snapshot_id` names. Default:
	// none but the account itself.
	SnapshotUsers []string `mapstructure:"snapshot_users"`
	// `["all"]` makes the snapshots public; EC2 knows no other group. Default: none.
	SnapshotGroups []string `mapstructure:"snapshot_groups"`
}

// The names of the settings that make something public.
const (
	settingGroups         = "ami_groups"
	settingSnapshotGroups = "snapshot_groups"
)

// groupAll is the only group that EC2 knows.
const groupAll = "all"

var (
	groupForm = regexp.MustCompile("^" + groupAll + "$")
	// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_arn.html
	orgARN = regexp.MustCompile(`^arn:aws[a-z-]*:organizations::\d{12}:organization/o-[a-z0-9]+$`)
	ouARN  = regexp.MustCompile(`^arn:aws[a-z-]*:organizations::\d{12}:ou/o-[a-z0-9]+/ou-[a-z0-9]+-[a-z0-9]+$`)
)

// Check returns warnings and what is wrong with the settings.
func (s *SharingConfig) Check() ([]string, []error) {
	errs := slices.Concat(
		setting.CheckEach("ami_users", s.AMIUsers, setting.AccountID, "an account id of 12 digits"),
		setting.CheckEach("snapshot_users", s.SnapshotUsers, setting.AccountID, "an account id of 12 digits"),
		setting.CheckEach("ami_org_arns", s.AMIOrgArns, orgARN, "arn:aws:organizations::account:organization/o-..."),
		setting.CheckEach("ami_ou_arns", s.AMIOuArns, ouARN, "arn:aws:organizations::account:ou/o-.../ou-..."),
		setting.CheckEach(settingGroups, s.AMIGroups, groupForm, `"all", the only group EC2 knows`),
		setting.CheckEach(settingSnapshotGroups, s.SnapshotGroups, groupForm, `"all", the only group EC2 knows`),
	)
	if len(s.AMIProductCodes) > 0 && s.MakesPublic() {
		errs = append(errs, errors.New("ami_product_codes and ami_groups exclude each other: EC2 makes no image "+
			"public that has a product code"))
	}
	return nil, errs
}

// MakesPublic reports whether everybody may launch the image.
func (s *SharingConfig) MakesPublic() bool { return slices.Contains(s.AMIGroups, groupAll) }

// publicSettings returns the names of the settings that let everybody use the image or its snapshots.
func (s *SharingConfig) publicSettings() []string {
	return setting.NamesOfKnown(map[string][]string{
		settingGroups: s.AMIGroups, settingSnapshotGroups: s.SnapshotGroups,
	})
}

// sharedSettings returns the names of the settings that let some others use the image or its snapshots.
func (s *SharingConfig) sharedSettings() []string {
	return setting.NamesOfKnown(map[string][]string{
		"ami_users": s.AMIUsers, "ami_org_arns": s.AMIOrgArns, "ami_ou_arns": s.AMIOuArns,
		"snapshot_users": s.SnapshotUsers,
	})
}

// launchPermissions returns who may launch the image. They are in one list because EC2 sets all of a call, or nothing.
func (s *SharingConfig) launchPermissions() []types.LaunchPermission {
	var all []types.LaunchPermission
	for _, id := range s.AMIUsers {
		all = append(all, types.LaunchPermission{UserId: aws.String(id)})
	}
	for _, arn := range s.AMIOrgArns {
		all = append(all, types.LaunchPermission{OrganizationArn: aws.String(arn)})
	}
	for _, arn := range s.AMIOuArns {
		all = append(all, types.LaunchPermission{OrganizationalUnitArn: aws.String(arn)})
	}
	for _, group := range s.AMIGroups {
		all = append(all, types.LaunchPermission{Group: types.PermissionGroup(group)})
	}
	return all
}

// createVolumePermissions returns who may make volumes of the snapshots.
func (s *SharingConfig) createVolumePermissions() []types.CreateVolumePermission {
	var all []types.CreateVolumePermission
	for _, id := range s.SnapshotUsers {
		all = append(all, types.CreateVolumePermission{UserId: aws.String(id)})
	}
	for _, group := range s.SnapshotGroups {
		all = append(all, types.CreateVolumePermission{Group: types.PermissionGroup(group)})
	}
	return all
}
