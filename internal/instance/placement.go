// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"errors"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
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

// Check returns what is wrong with the settings. It sets their defaults.
func (c *PlacementConfig) Check() ([]string, []error) {
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
	if setting.Known(p.Tenancy) && setting.Known(c.Tenancy) {
		errs = append(errs, errors.New("placement: tenancy and the deprecated tenancy exclude each other: keep the "+
			"one in placement"))
	}
	if setting.Known(p.HostID) && setting.Known(p.HostResourceGroupARN) {
		errs = append(errs, errors.New("placement: host_id and host_resource_group_arn exclude each other: keep one "+
			"of them"))
	}
	tenancy := c.tenancy()
	switch {
	case setting.Unknown(tenancy):
	case (setting.Known(p.HostID) || setting.Known(p.HostResourceGroupARN)) && tenancy != "" && tenancy != tenancyHost:
		errs = append(errs, fmt.Errorf("placement: tenancy is %q; with host_id or host_resource_group_arn it must be "+
			"\"host\"", tenancy))
	case tenancy != "":
		if err := setting.CheckOneOf("placement: tenancy", &tenancy, "default", "dedicated", tenancyHost); err != nil {
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
	case setting.Known(c.CapacityReservationID) && setting.Known(c.CapacityReservationGroupARN):
		return []error{errors.New("capacity_reservation_id and capacity_reservation_group_arn exclude each other: " +
			"keep one of them")}
	case (setting.Known(c.CapacityReservationID) || setting.Known(c.CapacityReservationGroupARN)) &&
		setting.Known(c.CapacityReservationPreference):
		return []error{errors.New("capacity_reservation_preference is for open reservations: leave it out with " +
			"capacity_reservation_id or capacity_reservation_group_arn")}
	case targeted:
		return nil
	}
	err := setting.CheckOneOf("capacity_reservation_preference", &c.CapacityReservationPreference,
		reservationsUnused, "open")
	if err != nil {
		return []error{err}
	}
	return nil
}

// request returns where and on what hardware to run, or nil for AWS's choice.
func (c *PlacementConfig) request(zone string) *types.Placement {
	p := types.Placement{
		AvailabilityZone:     awscall.NonZeroPtr(zone),
		HostId:               awscall.NonZeroPtr(c.Placement.HostID),
		HostResourceGroupArn: awscall.NonZeroPtr(c.Placement.HostResourceGroupARN),
		Tenancy:              types.Tenancy(c.tenancy()),
	}
	if p == (types.Placement{}) {
		return nil
	}
	return &p
}

// setReservations sets what the machine counts against. Spot Instances use no reservations, and EC2 refuses a request
// that says so.
func (c *PlacementConfig) setReservations(in *ec2.RunInstancesInput, spot bool) {
	for i := range c.LicenseSpecifications {
		in.LicenseSpecifications = append(in.LicenseSpecifications, types.LicenseConfigurationRequest{
			LicenseConfigurationArn: aws.String(c.LicenseSpecifications[i].Request.LicenseConfigurationARN),
		})
	}
	if c.EnableNitroEnclave {
		in.EnclaveOptions = &types.EnclaveOptionsRequest{Enabled: aws.Bool(true)}
	}
	if spot {
		return
	}
	in.CapacityReservationSpecification = &types.CapacityReservationSpecification{
		CapacityReservationPreference: types.CapacityReservationPreference(c.CapacityReservationPreference),
	}
	if c.CapacityReservationID != "" || c.CapacityReservationGroupARN != "" {
		in.CapacityReservationSpecification.CapacityReservationTarget = &types.CapacityReservationTarget{
			CapacityReservationId:               awscall.NonZeroPtr(c.CapacityReservationID),
			CapacityReservationResourceGroupArn: awscall.NonZeroPtr(c.CapacityReservationGroupARN),
		}
	}
}
