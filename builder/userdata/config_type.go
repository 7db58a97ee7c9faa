// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

const defaultInstanceType = "t3.nano" // the seed's default: BUILDAMI_TYPE

// burstable are the types with CPU credits: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-performance-instances.html.
var burstable = regexp.MustCompile(`^t(2|3|3a|4g)\.`)

// types are the types of machine to bake on, any of which will do.
func (c *Config) types() []string {
	if len(c.SpotInstanceTypes) > 0 {
		return c.SpotInstanceTypes
	}
	return []string{c.InstanceType}
}

// prepareTypes checks what has to do with the types of machine, of which spot_instance_types is the other half.
func (c *Config) prepareTypes() ([]string, []error) {
	var errs []error
	switch {
	case known(c.InstanceType) && len(c.SpotInstanceTypes) > 0:
		errs = append(errs, errors.New("instance_type and spot_instance_types exclude each other: keep one of them"))
	case c.InstanceType == "" && len(c.SpotInstanceTypes) == 0:
		c.InstanceType, c.typeIsDefault = defaultInstanceType, true
	}
	errs = append(errs, c.checkCredits()...)
	return nil, append(errs, c.checkEnclave()...)
}

func (c *Config) checkCredits() []error {
	if !c.EnableUnlimitedCredits {
		return nil
	}
	var errs []error
	for _, t := range c.types() {
		switch {
		case unknown(t):
		case !burstable.MatchString(t):
			errs = append(errs, fmt.Errorf("enable_unlimited_credits: %s has no CPU credits; T2, T3, T3a and T4g have: remove the setting", t))
		case c.surelySpot() && strings.HasPrefix(t, "t2."):
			errs = append(errs, fmt.Errorf("enable_unlimited_credits does not go with %s as a Spot Instance: remove the setting", t))
		}
	}
	return errs
}

// credits are the CPU credits of a type: "" is what the account says.
func (c *Config) credits(instanceType string) string {
	switch {
	case !burstable.MatchString(instanceType):
		return ""
	case c.EnableUnlimitedCredits:
		return "unlimited"
	case c.typeIsDefault:
		return "" // a t3 begins without any credits, and the standard ones of a t3.nano are a twentieth of a processor
	}
	return "standard"
}
