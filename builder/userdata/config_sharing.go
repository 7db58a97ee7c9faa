// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
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
	// The account ids that may make volumes of the image's snapshots, also of those that `snapshot_id` names. Default: none
	// but the account itself.
	SnapshotUsers []string `mapstructure:"snapshot_users"`
	// `["all"]` makes the snapshots public; EC2 knows no other group. Default: none.
	SnapshotGroups []string `mapstructure:"snapshot_groups"`
}

// groupAll is the one group EC2 knows.
const groupAll = "all"

var (
	accountID = regexp.MustCompile(`^\d{12}$`)
	// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_arn.html
	orgARN = regexp.MustCompile(`^arn:aws[a-z-]*:organizations::\d{12}:organization/o-[a-z0-9]+$`)
	ouARN  = regexp.MustCompile(`^arn:aws[a-z-]*:organizations::\d{12}:ou/o-[a-z0-9]+/ou-[a-z0-9]+-[a-z0-9]+$`)
)

func (s *SharingConfig) prepare() ([]string, []error) {
	errs := slices.Concat(
		each("ami_users", s.AMIUsers, accountID, "an account id of 12 digits"),
		each("snapshot_users", s.SnapshotUsers, accountID, "an account id of 12 digits"),
		each("ami_org_arns", s.AMIOrgArns, orgARN, "arn:aws:organizations::account:organization/o-..."),
		each("ami_ou_arns", s.AMIOuArns, ouARN, "arn:aws:organizations::account:ou/o-.../ou-..."),
		each("ami_groups", s.AMIGroups, regexp.MustCompile("^"+groupAll+"$"), `"all", the only group EC2 knows`),
		each("snapshot_groups", s.SnapshotGroups, regexp.MustCompile("^"+groupAll+"$"), `"all", the only group EC2 knows`),
	)
	if len(s.AMIProductCodes) > 0 && slices.Contains(s.AMIGroups, groupAll) {
		errs = append(errs, errors.New("ami_product_codes and ami_groups exclude each other: EC2 makes no image public that "+
			"has a product code"))
	}
	return nil, errs
}

func each(setting string, values []string, form *regexp.Regexp, want string) []error {
	var errs []error
	for _, v := range values {
		if !unknown(v) && !form.MatchString(v) {
			errs = append(errs, fmt.Errorf("%s: %q must be %s", setting, v, want))
		}
	}
	return errs
}

// public are the settings that let everybody use what is made.
func (s *SharingConfig) public() []string {
	return settingsOf(map[string][]string{"ami_groups": s.AMIGroups, "snapshot_groups": s.SnapshotGroups})
}

// shared are the settings that let some others use what is made.
func (s *SharingConfig) shared() []string {
	return settingsOf(map[string][]string{
		"ami_users": s.AMIUsers, "ami_org_arns": s.AMIOrgArns, "ami_ou_arns": s.AMIOuArns, "snapshot_users": s.SnapshotUsers,
	})
}

// settingsOf are the names of the lists that are known and not empty.
func settingsOf(lists map[string][]string) []string {
	var names []string
	for name, list := range lists {
		if len(list) > 0 && !slices.ContainsFunc(list, unknown) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
