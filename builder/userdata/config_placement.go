// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"fmt"
)

// PlacementConfig says on what hardware of AWS's the machine runs.
type PlacementConfig struct {
	// On what hardware to run. See [Placement](#placement-configuration).
	Placement Placement `mapstructure:"placement"`
	// Deprecated: set `tenancy` within `placement`.
	Tenancy string `mapstructure:"tenancy"`
	// Licence configurations the machine counts against. See
	// [LicenseSpecification](#license-specifications-configuration).
	LicenseSpecifications []LicenseSpecification `mapstructure:"license_specifications"`
	// Whether the machine may use an open capacity reservation: `open`, or `none`, the default. Conflicts with
	// `capacity_reservation_id` and `capacity_reservation_group_arn`.
	CapacityReservationPreference string `mapstructure:"capacity_reservation_preference"`
	// The id of the capacity reservation to use. Conflicts with `capacity_reservation_group_arn`.
	CapacityReservationID string `mapstructure:"capacity_reservation_id"`
	// The ARN of the group of capacity reservations to use.
	CapacityReservationGroupARN string `mapstructure:"capacity_reservation_group_arn"`
	// Run the machine with support for Nitro Enclaves, which its `instance_type` must have; burstable types do not,
	// nor do Spot Instances. Default: `false`.
	EnableNitroEnclave bool `mapstructure:"enable_nitro_enclave"`
}

// Placement is on what hardware the machine runs.
type Placement struct {
	// The ARN of the host resource group to run in. Conflicts with `host_id`.
	HostResourceGroupARN string `mapstructure:"host_resource_group_arn"`
	// The id of the dedicated host to run on.
	HostID string `mapstructure:"host_id"`
	// `default` for hardware shared with others, `dedicated` or `host`. Default: what the VPC says.
	Tenancy string `mapstructure:"tenancy"`
}

// LicenseSpecification is a licence configuration the machine counts against.
type LicenseSpecification struct {
	// The licence configuration. See [LicenseConfigurationRequest](#license-configuration-request).
	Request LicenseConfigurationRequest `mapstructure:"license_configuration_request"`
}

// LicenseConfigurationRequest names a licence configuration.
type LicenseConfigurationRequest struct {
	// The ARN of the licence configuration.
	LicenseConfigurationARN string `mapstructure:"license_configuration_arn"`
}

const (
	tenancyHost        = "host"
	reservationsUnused = "none"
)

func (c *PlacementConfig) prepare() ([]string, []error) {
	errs := append(c.checkTenancy(), c.checkReservation()...)
	for i := range c.LicenseSpecifications {
		if c.LicenseSpecifications[i].Request.LicenseConfigurationARN == "" {
			errs = append(errs, fmt.Errorf("license_specifications[%d]: license_configuration_request: "+
				"license_configuration_arn is needed", i))
		}
	}
	return nil, errs
}

func (c *PlacementConfig) checkTenancy() []error {
	var errs []error
	p := &c.Placement
	if known(p.Tenancy) && known(c.Tenancy) {
		errs = append(errs, errors.New("placement: tenancy and the deprecated tenancy exclude each other: keep the one in placement"))
	}
	if known(p.HostID) && known(p.HostResourceGroupARN) {
		errs = append(errs, errors.New("placement: host_id and host_resource_group_arn exclude each other: keep one of them"))
	}
	tenancy := c.tenancy()
	switch {
	case unknown(tenancy):
	case (known(p.HostID) || known(p.HostResourceGroupARN)) && tenancy != "" && tenancy != tenancyHost:
		errs = append(errs, fmt.Errorf("placement: tenancy is %q; with host_id or host_resource_group_arn it must be \"host\"", tenancy))
	case tenancy != "":
		if err := checkOneOf("placement: tenancy", &tenancy, "default", "dedicated", tenancyHost); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func (c *PlacementConfig) tenancy() string {
	if c.Placement.Tenancy != "" {
		return c.Placement.Tenancy
	}
	return c.Tenancy
}

func (c *PlacementConfig) checkReservation() []error {
	targeted := c.CapacityReservationID != "" || c.CapacityReservationGroupARN != ""
	switch {
	case known(c.CapacityReservationID) && known(c.CapacityReservationGroupARN):
		return []error{errors.New("capacity_reservation_id and capacity_reservation_group_arn exclude each other: keep one of them")}
	case (known(c.CapacityReservationID) || known(c.CapacityReservationGroupARN)) && known(c.CapacityReservationPreference):
		return []error{errors.New("capacity_reservation_preference is for open reservations: leave it out with " +
			"capacity_reservation_id or capacity_reservation_group_arn")}
	case targeted:
		return nil
	}
	err := checkOneOf("capacity_reservation_preference", &c.CapacityReservationPreference, reservationsUnused, "open")
	if err != nil {
		return []error{err}
	}
	return nil
}

// checkEnclave refuses what has no Nitro Enclaves.
func (c *Config) checkEnclave() []error {
	if !c.EnableNitroEnclave {
		return nil
	}
	var errs []error
	if c.surelySpot() {
		errs = append(errs, errors.New("enable_nitro_enclave does not go with Spot Instances: remove spot_price and spot_instance_types"))
	}
	for _, t := range c.types() {
		if burstable.MatchString(t) {
			errs = append(errs, fmt.Errorf("enable_nitro_enclave: the burstable type %s has no Nitro Enclaves: choose another instance_type", t))
		}
	}
	return errs
}
