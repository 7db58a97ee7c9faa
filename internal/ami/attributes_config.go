// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// AttributesConfig says what EC2 is to know of the image: what machines launched from it get, and how long it is kept.
type AttributesConfig struct {
	// `v2.0` makes machines launched from the image require IMDSv2, unless their launch says otherwise. Cannot be
	// undone for an image. Default: the source image's.
	IMDSSupport string `mapstructure:"imds_support"`
	// How machines launched from the image boot: `uefi`, `uefi-preferred` or `legacy-bios`. Default: the source
	// image's. amazon-ebs has no such setting. EC2 sets a boot mode only when an image is registered, so an image whose
	// boot mode is to differ from its source image's is registered anew, of the same snapshots, when it is available;
	// that cannot be done with source images that are paid by the hour (RHEL, SUSE, Marketplace), because EC2 ties the
	// payment to the image and not to its snapshots. UEFI variables, such as the keys of Secure Boot, are not taken
	// over. What is installed on the disk has to be able to boot that way; EC2 does not check that.
	BootMode string `mapstructure:"boot_mode"`
	// `v2.0` gives machines launched from the image a NitroTPM. It needs the boot mode `uefi`. Default: the source
	// image's. Set in the same way as `boot_mode`, within the same limits; amazon-ebs has no such setting.
	TPMSupport string `mapstructure:"tpm_support"`
	// Mark the image as able to use enhanced networking with ENA, or as not able to. Default: the source image's;
	// those of this decade are. It is set on the stopped machine, which needs `ec2:ModifyInstanceAttribute`.
	ENASupport config.Trilean `mapstructure:"ena_support"`
	// Mark the image as able to use enhanced networking with the Intel 82599 virtual function. It is set on the stopped
	// machine, which needs `ec2:ModifyInstanceAttribute`. Default: `false`, which leaves it as it is in the source
	// image.
	SriovSupport bool `mapstructure:"sriov_support"`
	// The virtualization type of the image. It changes nothing: an image has its source image's, and `ena_support`
	// and `sriov_support` need that to be `hvm`. Default: not checked any further.
	AMIVirtType string `mapstructure:"ami_virtualization_type"`
	// When the image is to be marked as deprecated, so that it is not listed for others any more: a time in the form
	// `2027-01-31T00:00:00Z`, at most ten years ahead, or two for a public image. EC2 rounds to minutes. Default:
	// never.
	DeprecateAt string `mapstructure:"deprecate_at"`
	// Protect the image from being deregistered. See
	// [DeregistrationProtection](#deregistration-protection-configuration).
	DeregistrationProtection DeregistrationProtection `mapstructure:"deregistration_protection"`
}

// DeregistrationProtection keeps an image from being deregistered as long as the protection is not disabled. It is the
// last thing that is set, in every region, so a bake that fails can still remove what it made.
type DeregistrationProtection struct {
	// Protect the image. Default: `false`.
	Enabled bool `mapstructure:"enabled"`
	// Keep the protection up for 24 hours after it was disabled. Implies `enabled`. Default: `false`.
	WithCooldown bool `mapstructure:"with_cooldown"`
}

const (
	supportV2     = "v2.0"
	bootUEFI      = "uefi"
	virtualizeHVM = "hvm"
)

// Check sets defaults and returns warnings and what is wrong with the settings. public is whether everybody may launch
// the image.
func (c *AttributesConfig) Check(now time.Time, public bool) ([]string, []error) {
	var errs []error
	one := func(name, value string, allowed ...string) {
		if setting.Known(value) && !slices.Contains(allowed, value) {
			errs = append(errs, fmt.Errorf("%s is %q; it must be one of %q", name, value, allowed))
		}
	}
	one("imds_support", c.IMDSSupport, supportV2)
	one("boot_mode", c.BootMode, bootUEFI, "uefi-preferred", "legacy-bios")
	one("tpm_support", c.TPMSupport, supportV2)
	if c.TPMSupport == supportV2 && setting.Known(c.BootMode) && c.BootMode != bootUEFI {
		errs = append(errs, fmt.Errorf("tpm_support needs boot_mode = %q, not %q: a NitroTPM works with UEFI only",
			bootUEFI, c.BootMode))
	}
	if c.enhancesNetworking() && setting.Known(c.AMIVirtType) && c.AMIVirtType != virtualizeHVM {
		errs = append(errs, fmt.Errorf("ena_support and sriov_support need ami_virtualization_type = %q, not %q",
			virtualizeHVM, c.AMIVirtType))
	}
	if err := checkDeprecation(c.DeprecateAt, now, public); err != nil {
		errs = append(errs, err)
	}
	if c.DeregistrationProtection.WithCooldown {
		c.DeregistrationProtection.Enabled = true
	}
	return nil, errs
}

// enhancesNetworking reports whether enhanced networking is to be switched on.
func (c *AttributesConfig) enhancesNetworking() bool { return c.ENASupport.True() || c.SriovSupport }

// The limits of EnableImageDeprecation:
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_EnableImageDeprecation.html.
const (
	deprecationYears       = 10
	publicDeprecationYears = 2
)

func checkDeprecation(text string, now time.Time, public bool) error {
	if !setting.Known(text) {
		return nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return fmt.Errorf("deprecate_at: %q is no time in the form 2027-01-31T00:00:00Z", text)
	}
	years := deprecationYears
	if public {
		years = publicDeprecationYears
	}
	switch {
	case at.Before(now):
		return fmt.Errorf("deprecate_at: %s is in the past", text)
	case at.After(now.AddDate(years, 0, 0)) && public:
		return fmt.Errorf("deprecate_at: %s is more than %d years ahead, EC2's limit for a public image", text, years)
	case at.After(now.AddDate(years, 0, 0)):
		return fmt.Errorf("deprecate_at: %s is more than %d years ahead, EC2's limit", text, years)
	}
	return nil
}

// deprecationTime returns the time of deprecate_at, which Check has accepted.
func (c *AttributesConfig) deprecationTime() (time.Time, error) {
	at, err := time.Parse(time.RFC3339, c.DeprecateAt)
	if err != nil {
		return at, errors.New("deprecate_at is still not known")
	}
	return at, nil
}
