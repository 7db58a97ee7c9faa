// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

const defaultInstanceType = "t3.nano" // as BUILDAMI_TYPE of the scripts in example/jenkins

// burstable are the types with CPU credits:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/burstable-performance-instances.html.
var burstable = regexp.MustCompile(`^t(2|3|3a|4g)\.`)

// Settings are what a template says about the machine.
type Settings struct {
	Run       *RunConfig
	Placement *PlacementConfig
	Spot      *SpotConfig
	Watch     *WatchConfig
}

// Types returns the instance types to run on, any of which will do.
func (s Settings) Types() []string {
	if len(s.Spot.SpotInstanceTypes) > 0 {
		return s.Spot.SpotInstanceTypes
	}
	return []string{s.Run.InstanceType}
}

// CheckTypes returns what is wrong with the instance types, which instance_type or spot_instance_types name, and with
// the settings that depend on them. It sets the default type.
func (s Settings) CheckTypes() ([]string, []error) {
	var errs []error
	switch {
	case setting.Known(s.Run.InstanceType) && len(s.Spot.SpotInstanceTypes) > 0:
		errs = append(errs, errors.New("instance_type and spot_instance_types exclude each other: keep one of them"))
	case s.Run.InstanceType == "" && len(s.Spot.SpotInstanceTypes) == 0:
		s.Run.InstanceType, s.Run.typeIsDefault = defaultInstanceType, true
	}
	errs = append(errs, s.checkCredits()...)
	return nil, append(errs, s.checkEnclave()...)
}

func (s Settings) checkCredits() []error {
	if !s.Run.EnableUnlimitedCredits {
		return nil
	}
	var errs []error
	for _, t := range s.Types() {
		switch {
		case setting.Unknown(t):
		case !burstable.MatchString(t):
			errs = append(errs, fmt.Errorf("enable_unlimited_credits: %s has no CPU credits; T2, T3, T3a and T4g "+
				"have: remove the setting", t))
		case s.Spot.IsKnownSpot() && strings.HasPrefix(t, "t2."):
			errs = append(errs, fmt.Errorf("enable_unlimited_credits does not go with %s as a Spot Instance: "+
				"remove the setting", t))
		}
	}
	return errs
}

// checkEnclave refuses what has no Nitro Enclaves.
func (s Settings) checkEnclave() []error {
	if !s.Placement.EnableNitroEnclave {
		return nil
	}
	var errs []error
	if s.Spot.IsKnownSpot() {
		errs = append(errs, errors.New("enable_nitro_enclave does not go with Spot Instances: "+
			"remove spot_price and spot_instance_types"))
	}
	for _, t := range s.Types() {
		if burstable.MatchString(t) {
			errs = append(errs, fmt.Errorf("enable_nitro_enclave: the burstable type %s has no Nitro Enclaves: "+
				"choose another instance_type", t))
		}
	}
	return errs
}

// credits returns the CPU credits of a type; "" is the account's setting.
func (c *RunConfig) credits(instanceType string) string {
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

// Hypervisors are what instance types run on, by their names, as far as EC2 has told it.
type Hypervisors map[string]types.InstanceTypeHypervisor

// showsConsoleLate reports whether EC2 shows the console of such a machine only minutes after it has stopped. Those of
// Nitro show it all the time:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/troubleshoot-unreachable-instance.html.
func (h Hypervisors) showsConsoleLate(instanceType string) bool {
	return h[instanceType] == types.InstanceTypeHypervisorXen
}

// FindTypes looks up the instance types, and refuses those that cannot run the source image. It sets the clock, for a
// template with skip_credential_validation.
func (s Settings) FindTypes(
	ctx context.Context, api *awscall.EC2, clock *bake.Clock, region string, source *types.Image,
) (Hypervisors, error) {
	names := s.Types()
	in := &ec2.DescribeInstanceTypesInput{}
	for _, name := range names {
		in.InstanceTypes = append(in.InstanceTypes, types.InstanceType(name))
	}
	out, err := api.DescribeInstanceTypes(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("look up the instance type %s: %w", strings.Join(names, ", "), err)
	}
	clock.SetFrom(out.ResultMetadata)
	if len(out.InstanceTypes) == 0 {
		return nil, fmt.Errorf("the instance type %s does not exist in %s", strings.Join(names, ", "), region)
	}
	hypervisors := Hypervisors{}
	for i := range out.InstanceTypes {
		found := &out.InstanceTypes[i]
		hypervisors[string(found.InstanceType)] = found.Hypervisor
		if err := checkArchitecture(found, source, names[0]); err != nil {
			return nil, err
		}
	}
	return hypervisors, nil
}

func checkArchitecture(found *types.InstanceTypeInfo, source *types.Image, name string) error {
	info := found.ProcessorInfo
	if info == nil || source.Architecture == "" ||
		slices.Contains(info.SupportedArchitectures, types.ArchitectureType(source.Architecture)) {
		return nil
	}
	return fmt.Errorf("source image %s is for %s, and the instance type %s runs %v: choose another type or source_ami",
		aws.ToString(source.ImageId), source.Architecture, cmp.Or(string(found.InstanceType), name),
		info.SupportedArchitectures)
}

// LateConsoleWarning returns a warning about the types whose console EC2 shows late, for a machine whose verdict comes
// by the console; "" where there is none.
func (s Settings) LateConsoleWarning(h Hypervisors) string {
	var late []string
	for _, name := range s.Types() {
		if h.showsConsoleLate(name) {
			late = append(late, name)
		}
	}
	if len(late) == 0 || s.Watch.Verdict == setting.VerdictStop {
		return ""
	}
	return fmt.Sprintf("%s runs on Xen, and EC2 shows the console of such a machine only minutes after it has "+
		"stopped: nothing is seen of it before, and the verdict is waited for up to %s. With %s it comes at once; so "+
		"it does on the types of Nitro, such as %s", strings.Join(late, ", "), lateVerdictTimeout, stagingExample,
		defaultInstanceType)
}

// stagingExample is the setting that needs no console.
const stagingExample = `staging { url = "s3://bucket/prefix" }`
