// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

// stepCheck looks for everything in the account that would make the bake fail later, when it has cost money. Like
// validating, it reports all problems at once.
type stepCheck struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepCheck) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	action := step(ctx, state, phasePrepare, checkAccount)
	if action == multistep.ActionContinue {
		data := unpack(state).buildData()
		data.publish(state)
		withoutInputs(state)
	}
	return action
}

func checkAccount(ctx context.Context, b *bake) error {
	return errors.Join(
		b.checkNames(ctx),
		b.checkSource(ctx),
		b.checkNetwork(ctx),
		b.checkProfile(ctx),
		b.checkStaging(ctx),
		b.checkOutput(),
	)
}

// checkOutput makes sure that output_file can be written: an image that cannot be told of is removed.
func (b *bake) checkOutput() error {
	if b.config.OutputFile == "" {
		return nil
	}
	dir := filepath.Dir(b.config.OutputFile)
	if info, err := os.Stat(dir); err != nil {
		return fmt.Errorf("output_file: make its directory first: %w", err)
	} else if !info.IsDir() {
		return fmt.Errorf("output_file: %s is not a directory", dir)
	}
	return nil
}

// checkSource finds the image to start from, and makes sure that the machine can run it.
func (b *bake) checkSource(ctx context.Context) error {
	source, err := findSource(ctx, &b.config.SourceConfig, b.aws.ec2, b.aws.ssm)
	if err != nil {
		return err
	}
	b.source = source
	b.say("Starting from %s (%s)", aws.ToString(source.ImageId), aws.ToString(source.Name))
	if source.RootDeviceType != "" && source.RootDeviceType != types.DeviceTypeEbs {
		return fmt.Errorf("source image %s has its root device on %s; an image can be made only of one on ebs",
			aws.ToString(source.ImageId), source.RootDeviceType)
	}
	return errors.Join(b.checkArchitecture(ctx), b.checkTexts(), b.checkTraits(), b.checkDisks())
}

// checkTexts renders what is made of the source image's data, and would only be found wrong when the machine has run.
func (b *bake) checkTexts() error {
	o, err := b.outlined(b.config.AMIName)
	if err != nil {
		return err
	}
	// The limit of CreateImage.
	if n := utf8.RuneCountInString(o.description); n > 255 {
		return fmt.Errorf("ami_description has %d characters; it must have at most 255", n)
	}
	// The limit of EC2. The tags of the inputs, which depend on the provisioners, are not among these yet.
	if n := max(len(o.image), len(o.snapshots)) + len(new(inputs).tags()); n > 50 {
		return fmt.Errorf("the image would have %d tags, with the bake's own; EC2 takes at most 50: set fewer tags, run_tags or snapshot_tags", n)
	}
	_, volumes, err := b.machineTags()
	request, spotErr := b.requestTags()
	secret := errors.Join(refuseSecrets("ami_name", b.config.AMIName), refuseSecrets("ami_description", o.description),
		refuseSecretTags("tags or run_tags", o.image), refuseSecretTags("snapshot_tags", o.snapshots),
		refuseSecretTags("run_volume_tags or run_tags", volumes), refuseSecretTags("spot_tags or fleet_tags", request))
	return errors.Join(slices.Concat([]error{err, spotErr, secret}, checkTagLimits("tags or run_tags", o.image), checkTagLimits("snapshot_tags", o.snapshots),
		checkTagLimits("run_volume_tags or run_tags", volumes), checkTagLimits("spot_tags or fleet_tags", request))...)
}

// checkDisks makes sure that a disk that only the image has is described well enough to be made.
func (b *bake) checkDisks() error {
	var errs []error
	disk := func(d types.BlockDeviceMapping) string { return aws.ToString(d.DeviceName) }
	for i := range b.config.AMIBlockDevices {
		d := &b.config.AMIBlockDevices[i]
		there := slices.ContainsFunc(b.source.BlockDeviceMappings, func(m types.BlockDeviceMapping) bool { return disk(m) == d.DeviceName })
		if len(b.source.BlockDeviceMappings) == 0 || there || b.config.hasDevice(d.DeviceName) || d.NoDevice || d.VirtualName != "" {
			continue
		}
		if d.VolumeSize == 0 && d.SnapshotID == "" {
			errs = append(errs, fmt.Errorf("ami_block_device_mappings[%d]: the machine has no disk %s, so it is a new one of the image's and "+
				"needs volume_size or snapshot_id", i, d.DeviceName))
		}
	}
	return errors.Join(errs...)
}

// checkArchitecture makes sure that all the types of machine exist, and can run the source image.
func (b *bake) checkArchitecture(ctx context.Context) error {
	names := b.config.types()
	in := &ec2.DescribeInstanceTypesInput{}
	for _, name := range names {
		in.InstanceTypes = append(in.InstanceTypes, types.InstanceType(name))
	}
	out, err := b.aws.ec2.DescribeInstanceTypes(ctx, in)
	if err != nil {
		return fmt.Errorf("look up the instance type %s: %w", strings.Join(names, ", "), err)
	}
	b.clock.set(out.ResultMetadata) // the first to tell with skip_credential_validation
	if len(out.InstanceTypes) == 0 {
		return fmt.Errorf("the instance type %s does not exist in %s", strings.Join(names, ", "), b.aws.config.Region)
	}
	for i := range out.InstanceTypes {
		info := out.InstanceTypes[i].ProcessorInfo
		if info == nil || b.source.Architecture == "" {
			continue
		}
		if !slices.Contains(info.SupportedArchitectures, types.ArchitectureType(b.source.Architecture)) {
			return fmt.Errorf("source image %s is for %s, and the instance type %s runs %v: choose another type or source_ami",
				aws.ToString(b.source.ImageId), b.source.Architecture, cmp.Or(string(out.InstanceTypes[i].InstanceType), names[0]),
				info.SupportedArchitectures)
		}
	}
	return nil
}

// checkStaging makes sure that there is a bucket to upload to.
func (b *bake) checkStaging(ctx context.Context) error {
	if b.store == nil {
		return nil
	}
	err := b.store.Check(ctx)
	if errors.Is(err, staging.ErrDenied) {
		return nil // these credentials may still be allowed to upload; the upload comes before the machine
	}
	return err
}
