// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"cmp"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// Placement of an instance.
type Placement struct {
	Zone, Tenancy, HostID, HostResourceGroup, Affinity, Group string // Tenancy: default, dedicated or host
}

// Capacity is the capacity reservation of a launch.
type Capacity struct{ Preference, ID, ResourceGroup string }

// Target reports whether it names a reservation or a group of them.
func (c Capacity) Target() bool { return c.ID != "" || c.ResourceGroup != "" }

// Extras are parameters of a launch that the lab stores and shows, and that do not change its machines.
type Extras struct {
	Placement     Placement
	Capacity      Capacity
	Licenses      []string // ARNs of license configurations
	Enclave       bool
	Credits       string // standard or unlimited; "" where the type has none
	InterfaceTags Tags
}

func (e Extras) clone() Extras {
	e.Licenses = slices.Clone(e.Licenses)
	return e
}

// setPlacement sets the subnet and the zone of a launch.
func (c *Cloud) setPlacement(l *Launch) error {
	if l.SubnetID == "" {
		l.SubnetID = DefaultSubnet
		for _, s := range subnets(l.Region) {
			if s.Zone == l.Placement.Zone {
				l.SubnetID = s.ID
			}
		}
	}
	all, err := c.Subnets(l.Region, []string{l.SubnetID})
	if err != nil {
		return err
	}
	l.zone = all[0].Zone
	if l.Placement.Zone != "" && l.Placement.Zone != l.zone {
		return apierror.Errorf("InvalidParameterValue", "Invalid availability zone: [%s]", l.Placement.Zone)
	}
	if l.Placement.HostID != "" && l.Placement.Tenancy == "" {
		l.Placement.Tenancy = "host"
	}
	l.Placement.Tenancy = cmp.Or(l.Placement.Tenancy, "default")
	return nil
}

// checkExtras returns EC2's error for extras that the instance type does not support, and sets the type's defaults.
func checkExtras(l *Launch) error {
	t, _ := InstanceType(l.Type)
	switch {
	case l.Enclave && t.Burstable:
		return apierror.Errorf("InvalidParameterCombination", "The instance type '%s' does not support Nitro Enclaves.",
			l.Type)
	case l.Credits != "" && !t.Burstable:
		return apierror.Errorf("InvalidParameterCombination",
			"The instance type '%s' does not support CPU credits: it is not burstable.", l.Type)
	case l.Credits != "" && l.Credits != "standard" && l.Credits != "unlimited":
		return apierror.Errorf("InvalidParameterValue",
			"Invalid value '%s' for cpuCredits. Expected one of: [standard, unlimited]", l.Credits)
	case l.Placement.HostID != "" && l.Placement.Tenancy != "host":
		return apierror.Errorf("InvalidParameterCombination", "A host can only be named with the tenancy host.")
	case l.Capacity.ID != "" && l.Capacity.ResourceGroup != "":
		return apierror.Errorf("InvalidParameterCombination",
			"Specify either a capacity reservation or a resource group of them.")
	}
	if t.Burstable && l.Credits == "" {
		if l.Credits = "unlimited"; strings.HasPrefix(t.Name, "t2.") {
			l.Credits = "standard"
		}
	}
	return nil
}
