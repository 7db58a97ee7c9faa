// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/blockdevice"
)

// CheckAccount checks that the settings of the account let the image be shared, in each of its regions: EBS encryption
// by default, and block public access. EC2 would find these problems when the image is complete. What may not be looked
// at is added to unseen. It makes no call for an image that is neither shared nor to be copied without
// encryption. The arguments are those of CheckSource.
func (m *Maker) CheckAccount(
	ctx context.Context, source *types.Image, machineDevices []blockdevice.BlockDevice, unseen *awscall.Unseen,
) error {
	s := m.settings.Sharing
	isShared := len(s.publicSettings())+len(s.sharedSettings()) > 0
	encrypt := m.settings.Copy.EncryptBoot.ToBoolPointer()
	isPlain := encrypt != nil && !*encrypt
	if m.settings.Image.SkipCreateAMI || !isShared && !isPlain {
		return nil
	}
	c := &accountCheck{Maker: m, unseen: unseen}
	machine, err := c.machineEncryption(ctx, source, machineDevices)
	if err != nil {
		return err
	}
	if isPlain && machine.key != notEncrypted {
		if err := m.checkPlain(machine); err != nil {
			return err
		}
	}
	if !isShared {
		return nil
	}
	errs := make([]error, len(m.targets))
	var all sync.WaitGroup
	for i, t := range m.targets {
		all.Go(func() { errs[i] = errors.Join(c.checkPublic(ctx, t), c.checkEncryption(ctx, t, machine)) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// checkPlain refuses copies that would not be encrypted of a machine whose disks are, which EC2 does not make. It warns
// of an image that is encrypted all the same.
func (m *Maker) checkPlain(machine diskEncryption) error {
	if len(m.settings.Copy.AMIRegions) == 0 && !m.settings.Copy.UsesIntermediary() {
		m.bake.Warn("encrypt_boot = false has no effect: the disks of the image are encrypted, %s", machine.why)
		return nil
	}
	return fmt.Errorf("encrypt_boot = false: the disks of the machine are encrypted, %s, and EC2 makes no copy of "+
		"them that is not: leave encrypt_boot out, or %s", machine.why, machine.undo)
}

// accountCheck is one call of CheckAccount.
type accountCheck struct {
	*Maker

	unseen *awscall.Unseen
}

// notThere are the codes of services with the interface of EC2 that do not have a call.
var notThere = []string{"InvalidAction", "UnknownOperation", awscall.CodeUnsupported, "NotImplemented"}

// ignore returns nil for the error of a call that may not be made, or does not exist.
func (c *accountCheck) ignore(err error) error {
	return c.unseen.Ignore(awscall.IgnoreNotFound(err, notThere...))
}

// diskEncryption is how the disks of an image are encrypted.
type diskEncryption struct {
	key  encryptionKey
	why  string // completes "EC2 encrypts the disks of the image in a region"
	undo string // what to do so that they are not encrypted
	set  string // the setting that names the key, if one does
}

// encryptionKey is whose key disks are encrypted with.
type encryptionKey int

// From what can be shared with everybody to what can be shared with nobody.
const (
	notEncrypted encryptionKey = iota
	ownKeyEncrypted
	sourceKeyEncrypted // with the key of the source image, whatever that is
	awsKeyEncrypted    // with the key that AWS manages, which nobody else can use
)

// awsKey is the alias of the key that AWS manages in each account and region.
const awsKey = "alias/aws/ebs"

// keyEncryption returns whose a key is that a setting names.
func keyEncryption(key string) encryptionKey {
	if strings.HasSuffix(key, awsKey) {
		return awsKeyEncrypted
	}
	return ownKeyEncrypted
}

// machineEncryption returns how the disks of the machine will be encrypted, of which the image is made: as that of them
// which can be shared least.
func (c *accountCheck) machineEncryption(
	ctx context.Context, source *types.Image, machineDevices []blockdevice.BlockDevice,
) (diskEncryption, error) {
	byDefault, err := c.defaultEncryption(ctx, c.home)
	if err != nil {
		return diskEncryption{}, err
	}
	bySource := diskEncryption{key: sourceKeyEncrypted, why: "as those of the source image",
		undo: "start from an image that is not encrypted"}
	bySetting := diskEncryption{why: "as launch_block_device_mappings says", undo: "do not encrypt them there"}
	if byDefault.key != notEncrypted { // which would encrypt them all the same
		bySource.undo += ", and " + byDefault.undo
		bySetting.undo += ", and " + byDefault.undo
	}
	var least diskEncryption
	add := func(e diskEncryption) {
		if e.key > least.key {
			least = e
		}
	}
	for i := range source.BlockDeviceMappings {
		d := &source.BlockDeviceMappings[i]
		if d.Ebs == nil || blockdevice.Has(machineDevices, aws.ToString(d.DeviceName)) {
			continue
		}
		if aws.ToBool(d.Ebs.Encrypted) {
			add(bySource)
		} else {
			add(byDefault)
		}
	}
	for i := range machineDevices {
		d := &machineDevices[i]
		switch {
		case d.NoDevice || d.VirtualName != "":
		case d.KmsKeyID != "":
			named := bySetting
			named.key, named.set = keyEncryption(d.KmsKeyID), "kms_key_id of launch_block_device_mappings"
			add(named)
		case isEncryptedIn(source, d.DeviceName):
			add(bySource)
		case d.Encrypted.True():
			var err error
			if bySetting.key, err = c.defaultKey(ctx, c.home); err != nil {
				return diskEncryption{}, err
			}
			add(bySetting)
		default:
			add(byDefault)
		}
	}
	return least, nil
}

// isEncryptedIn reports whether an image has a disk of a name that is encrypted.
func isEncryptedIn(source *types.Image, name string) bool {
	for i := range source.BlockDeviceMappings {
		d := &source.BlockDeviceMappings[i]
		if aws.ToString(d.DeviceName) == name && d.Ebs != nil && aws.ToBool(d.Ebs.Encrypted) {
			return true
		}
	}
	return false
}

// defaultEncryption returns how a region encrypts a disk for which nothing is said.
func (c *accountCheck) defaultEncryption(ctx context.Context, t *RegionTarget) (diskEncryption, error) {
	out, err := t.EC2.GetEbsEncryptionByDefault(ctx, &ec2.GetEbsEncryptionByDefaultInput{})
	if err != nil || !aws.ToBool(out.EbsEncryptionByDefault) {
		return diskEncryption{}, inRegion(t, "look up the EBS encryption by default", c.ignore(err))
	}
	key, err := c.defaultKey(ctx, t)
	return diskEncryption{key: key, why: "by EBS encryption by default of the account",
		undo: "turn EBS encryption by default off (aws ec2 disable-ebs-encryption-by-default --region " + t.Region +
			")"}, err
}

// defaultKey returns whose the default key of a region is: the user's when nobody knows.
func (c *accountCheck) defaultKey(ctx context.Context, t *RegionTarget) (encryptionKey, error) {
	out, err := t.EC2.GetEbsDefaultKmsKeyId(ctx, &ec2.GetEbsDefaultKmsKeyIdInput{})
	if err != nil {
		return ownKeyEncrypted, inRegion(t, "look up the default key of EBS", c.ignore(err))
	}
	return keyEncryption(aws.ToString(out.KmsKeyId)), nil
}

// inRegion says of an error what failed, and where.
func inRegion(t *RegionTarget, what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s in %s: %w", what, t.Region, err)
}

// imageEncryption returns how the image in a region will be encrypted, of a machine with this encryption.
func (c *accountCheck) imageEncryption(
	ctx context.Context, t *RegionTarget, machine diskEncryption,
) (diskEncryption, error) {
	copied := c.settings.Copy
	switch key := copied.key(t.Region, c.home.Region); {
	case key != "":
		return diskEncryption{key: keyEncryption(key), why: "by encrypt_boot", undo: "remove encrypt_boot",
			set: "kms_key_id or region_kms_key_ids"}, nil
	case copied.EncryptBoot.True():
		own, err := c.defaultKey(ctx, t)
		return diskEncryption{key: own, why: "by encrypt_boot", undo: "remove encrypt_boot"}, err
	case t == c.home:
		return machine, nil
	case machine.key != notEncrypted: // a copy of it has the default key of its region
		var err error
		machine.key, err = c.defaultKey(ctx, t)
		machine.set = ""
		return machine, err
	}
	return c.defaultEncryption(ctx, t)
}

// checkEncryption refuses to share what nobody else could decrypt.
func (c *accountCheck) checkEncryption(ctx context.Context, t *RegionTarget, machine diskEncryption) error {
	encryption, err := c.imageEncryption(ctx, t, machine)
	if err != nil || encryption.key == notEncrypted {
		return err
	}
	why := fmt.Sprintf("EC2 encrypts the disks of the image in %s, %s", t.Region, encryption.why)
	var errs []error
	for _, name := range c.settings.Sharing.publicSettings() {
		errs = append(errs, fmt.Errorf("%s makes public what is encrypted, which EC2 refuses: %s: leave %s out, or %s",
			name, why, name, encryption.undo))
	}
	shared := c.settings.Sharing.sharedSettings()
	for _, name := range shared {
		if encryption.key == awsKeyEncrypted {
			errs = append(errs, fmt.Errorf("%s shares what is encrypted with the key that AWS manages for EBS, "+
				"which nobody else can use, and EC2 refuses: %s", name, encryption.withOwnKey(why, t.Region)))
		}
	}
	if encryption.key == sourceKeyEncrypted && len(shared) > 0 {
		c.bake.Warn("%s shares an image that is encrypted in %s with the key of its source image: if that is the "+
			"key which AWS manages for EBS, EC2 refuses it when the image is complete; encrypt_boot = true with "+
			"kms_key_id encrypts it with a key of your own", strings.Join(shared, ", "), t.Region)
	}
	return errors.Join(errs...)
}

// withOwnKey says why disks have the key of AWS in a region, and how they get another.
func (e *diskEncryption) withOwnKey(why, region string) string {
	if e.set != "" {
		return fmt.Sprintf("%s, and %s names that key: name a key of your own there", why, e.set)
	}
	return fmt.Sprintf("%s: encrypt with a key of your own (encrypt_boot = true with kms_key_id and "+
		"region_kms_key_ids), or make one the default of EBS (aws ec2 modify-ebs-default-kms-key-id --region %s)",
		why, region)
}

// defaultPublicQuota is how many public images an account may have in a region, unless it has asked for more:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ami-quotas.html.
const defaultPublicQuota = 5

// checkPublic refuses to make public what the account keeps from becoming public.
func (c *accountCheck) checkPublic(ctx context.Context, t *RegionTarget) error {
	var errs []error
	if c.settings.Sharing.MakesPublic() {
		errs = append(errs, c.checkPublicImages(ctx, t), c.warnOfPublicQuota(ctx, t))
	}
	for _, name := range c.settings.Sharing.publicSettings() {
		if name == settingSnapshotGroups {
			errs = append(errs, c.checkPublicSnapshots(ctx, t))
		}
	}
	return errors.Join(errs...)
}

func (c *accountCheck) checkPublicImages(ctx context.Context, t *RegionTarget) error {
	out, err := t.EC2.GetImageBlockPublicAccessState(ctx, &ec2.GetImageBlockPublicAccessStateInput{})
	if err != nil {
		return inRegion(t, "look up block public access for AMIs", c.ignore(err))
	}
	state := aws.ToString(out.ImageBlockPublicAccessState)
	if state == "" || state == string(types.ImageBlockPublicAccessDisabledStateUnblocked) {
		return nil
	}
	return fmt.Errorf("%s makes the image public, which block public access for AMIs of the account refuses in %s "+
		"(%s): leave it out, or turn that off (aws ec2 disable-image-block-public-access --region %s)", settingGroups,
		t.Region, state, t.Region)
}

func (c *accountCheck) checkPublicSnapshots(ctx context.Context, t *RegionTarget) error {
	out, err := t.EC2.GetSnapshotBlockPublicAccessState(ctx, &ec2.GetSnapshotBlockPublicAccessStateInput{})
	if err != nil {
		return inRegion(t, "look up block public access for snapshots", c.ignore(err))
	}
	if out.State == "" || out.State == types.SnapshotBlockPublicAccessStateUnblocked {
		return nil
	}
	return fmt.Errorf("%s makes the snapshots public, which block public access for snapshots of the account "+
		"refuses in %s (%s): leave it out, or turn that off (aws ec2 disable-snapshot-block-public-access --region %s)",
		settingSnapshotGroups, t.Region, out.State, t.Region)
}

// warnOfPublicQuota warns when the account has as many public images as AWS allows by default. EC2 does not say how
// many it allows this account.
func (c *accountCheck) warnOfPublicQuota(ctx context.Context, t *RegionTarget) error {
	public, err := List(ctx, t.EC2, &ec2.DescribeImagesInput{
		Owners: []string{"self"}, Filters: []types.Filter{awscall.Filter("is-public", "true")},
	})
	if err != nil {
		return inRegion(t, "count the public images", err)
	}
	if len(public) >= defaultPublicQuota {
		c.bake.Warn("the account has %d public images in %s, and AWS allows %d unless it was asked for more: "+
			"%s may fail when the image is complete", len(public), t.Region, defaultPublicQuota, settingGroups)
	}
	return nil
}
