// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ami

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/blockdevice"
)

// accountSettings are the settings of an account in a region, and the calls that have read them.
type accountSettings struct {
	encrypts  bool
	key       string // "": that of AWS
	images    string // block public access for AMIs; "": unblocked
	snapshots types.SnapshotBlockPublicAccessState
	public    int    // so many public images are there
	refuse    string // the code with which every call is refused
	calls     []string
	mu        sync.Mutex
}

func (s *accountSettings) called(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, name)
	if s.refuse == "" {
		return nil
	}
	return &smithy.OperationError{ServiceID: "EC2", OperationName: name, Err: &smithy.GenericAPIError{Code: s.refuse}}
}

func (s *accountSettings) ec2() *awscall.EC2 {
	return &awscall.EC2{
		GetEbsEncryptionByDefault: func(
			context.Context, *ec2.GetEbsEncryptionByDefaultInput, ...func(*ec2.Options),
		) (*ec2.GetEbsEncryptionByDefaultOutput, error) {
			return &ec2.GetEbsEncryptionByDefaultOutput{EbsEncryptionByDefault: &s.encrypts},
				s.called("GetEbsEncryptionByDefault")
		},
		GetEbsDefaultKmsKeyId: func(
			context.Context, *ec2.GetEbsDefaultKmsKeyIdInput, ...func(*ec2.Options),
		) (*ec2.GetEbsDefaultKmsKeyIdOutput, error) {
			key := s.key
			if key == "" {
				key = "arn:aws:kms:us-east-1:123456789012:alias/aws/ebs"
			}
			return &ec2.GetEbsDefaultKmsKeyIdOutput{KmsKeyId: &key}, s.called("GetEbsDefaultKmsKeyId")
		},
		GetImageBlockPublicAccessState: func(
			context.Context, *ec2.GetImageBlockPublicAccessStateInput, ...func(*ec2.Options),
		) (*ec2.GetImageBlockPublicAccessStateOutput, error) {
			return &ec2.GetImageBlockPublicAccessStateOutput{ImageBlockPublicAccessState: &s.images},
				s.called("GetImageBlockPublicAccessState")
		},
		GetSnapshotBlockPublicAccessState: func(
			context.Context, *ec2.GetSnapshotBlockPublicAccessStateInput, ...func(*ec2.Options),
		) (*ec2.GetSnapshotBlockPublicAccessStateOutput, error) {
			return &ec2.GetSnapshotBlockPublicAccessStateOutput{State: s.snapshots},
				s.called("GetSnapshotBlockPublicAccessState")
		},
		DescribeImages: func(
			context.Context, *ec2.DescribeImagesInput, ...func(*ec2.Options),
		) (*ec2.DescribeImagesOutput, error) {
			return &ec2.DescribeImagesOutput{Images: make([]types.Image, s.public)}, nil
		},
	}
}

// accountCase is one call of CheckAccount, for an image that is shared with an account, in one region.
type accountCase struct {
	settings Settings
	devices  []blockdevice.BlockDevice
	source   types.Image
	home     *accountSettings
	away     *accountSettings // of the copy; set with ami_regions
	want     []string         // in the error, or in what the user is told; nil: nothing
	never    []string         // in the error
	warned   bool             // it is no error
}

const ownKey = "arn:aws:kms:us-east-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"

// sharedImage returns a case whose image is shared with an account.
func sharedImage(set func(*accountCase)) accountCase {
	c := accountCase{
		settings: Settings{Image: &ImageConfig{AMIName: "hello"}, Copy: &CopyConfig{}, Attributes: &AttributesConfig{},
			Sharing: &SharingConfig{AMIUsers: []string{"111111111111"}}},
		source: types.Image{BlockDeviceMappings: []types.BlockDeviceMapping{
			{DeviceName: aws.String("/dev/xvda"), Ebs: &types.EbsBlockDevice{}},
			{DeviceName: aws.String("/dev/sdz"), VirtualName: aws.String("ephemeral0")},
		}},
		home: &accountSettings{}, away: &accountSettings{},
	}
	if set != nil {
		set(&c)
	}
	return c
}

// publicImage returns a case whose image is public.
func publicImage(set func(*accountCase)) accountCase {
	return sharedImage(func(c *accountCase) {
		c.settings.Sharing = &SharingConfig{AMIGroups: []string{"all"}}
		set(c)
	})
}

func (c *accountCase) run(t *testing.T) (said string, unseen []string, err error) {
	t.Helper()
	ui := new(bytes.Buffer)
	b := &bake.Bake{ID: testBake, UI: &packersdk.BasicUi{Writer: ui, ErrorWriter: ui}}
	m := newMaker(b, home, func(region string) *awscall.EC2 {
		if region == home {
			return c.home.ec2()
		}
		return c.away.ec2()
	}, c.settings, nil)
	rights := new(awscall.Unseen)
	err = m.CheckAccount(t.Context(), &c.source, c.devices, rights)
	return ui.String(), rights.Rights(), err
}

func copied(c *accountCase) { c.settings.Copy.AMIRegions = []string{away} }

// What EC2 would refuse when the image is complete, by settings of the account.
func TestCheckAccount(t *testing.T) {
	const (
		byAWS     = "shares what is encrypted with the key that AWS manages for EBS"
		byDefault = "by default of the account"
	)
	root := func(d blockdevice.BlockDevice) []blockdevice.BlockDevice {
		d.DeviceName = "/dev/xvda"
		return []blockdevice.BlockDevice{d}
	}
	for name, c := range map[string]accountCase{
		"nothing is encrypted": sharedImage(nil),
		"what is not shared may be": sharedImage(func(c *accountCase) {
			c.settings.Sharing, c.home.encrypts = &SharingConfig{}, true
		}),
		"by default": sharedImage(func(c *accountCase) {
			c.home.encrypts = true
			c.want = []string{"ami_users " + byAWS, "in us-east-1, by EBS encryption by default of the account: "}
			c.never = []string{"launch_block_device_mappings", "source image"}
		}),
		"by default, with a snapshot that is shared": sharedImage(func(c *accountCase) {
			c.settings.Sharing = &SharingConfig{SnapshotUsers: []string{"111111111111"}}
			c.home.encrypts, c.want = true, []string{"snapshot_users " + byAWS}
		}),
		"by default, with organizations": sharedImage(func(c *accountCase) {
			c.settings.Sharing = &SharingConfig{AMIOrgArns: []string{"arn:o"}, AMIOuArns: []string{"arn:u"}}
			c.home.encrypts, c.want = true, []string{"ami_org_arns " + byAWS, "ami_ou_arns " + byAWS}
		}),
		"by default, with a key of one's own": sharedImage(func(c *accountCase) {
			c.home.encrypts, c.home.key = true, ownKey
		}),
		"by default, but the disk has a key": sharedImage(func(c *accountCase) {
			c.home.encrypts, c.devices = true, root(blockdevice.BlockDevice{KmsKeyID: ownKey})
		}),
		"by default, although the disk says no": sharedImage(func(c *accountCase) {
			c.home.encrypts, c.devices = true, root(blockdevice.BlockDevice{Encrypted: config.TriFalse})
			c.want = []string{byAWS}
		}),
		"by the template, without a key": sharedImage(func(c *accountCase) {
			c.devices = root(blockdevice.BlockDevice{Encrypted: config.TriTrue})
			c.want = []string{byAWS, "in us-east-1, as launch_block_device_mappings says: encrypt with a key of"}
			c.never = []string{byDefault}
		}),
		"by the template, with AWS's key": sharedImage(func(c *accountCase) {
			c.devices = root(blockdevice.BlockDevice{Encrypted: config.TriTrue, KmsKeyID: "alias/aws/ebs"})
			c.want = []string{byAWS, "kms_key_id of launch_block_device_mappings names that key: name a key of"}
			c.never = []string{byDefault, "modify-ebs-default-kms-key-id"}
		}),
		"another disk of the template": sharedImage(func(c *accountCase) {
			c.devices = []blockdevice.BlockDevice{{DeviceName: "/dev/sdb", Encrypted: config.TriTrue},
				{DeviceName: "/dev/sdc", NoDevice: true}, {DeviceName: "/dev/sdd", VirtualName: "ephemeral0"}}
			c.want = []string{byAWS}
		}),
		"the disk is left out": sharedImage(func(c *accountCase) {
			c.home.encrypts, c.devices = true, root(blockdevice.BlockDevice{NoDevice: true})
		}),
		"as the source image": sharedImage(func(c *accountCase) {
			c.source.BlockDeviceMappings[0].Ebs.Encrypted = aws.Bool(true)
			c.want, c.warned = []string{"encrypted in us-east-1 with the key of its source image"}, true
		}),
		"the source image is, and the copy has another key": sharedImage(func(c *accountCase) {
			c.source.BlockDeviceMappings[0].Ebs.Encrypted = aws.Bool(true)
			c.settings.Copy.EncryptBoot, c.settings.Copy.KMSKeyID = config.TriTrue, ownKey
		}),
		"encrypt_boot with AWS's key by its name": sharedImage(func(c *accountCase) {
			c.settings.Copy.EncryptBoot, c.settings.Copy.KMSKeyID = config.TriTrue, "alias/aws/ebs"
			c.want = []string{byAWS, "by encrypt_boot, and kms_key_id or region_kms_key_ids names that key: name a key"}
			c.never = []string{byDefault, "modify-ebs-default-kms-key-id", "source image"}
		}),
		"only in the region of the copy": sharedImage(func(c *accountCase) {
			copied(c)
			c.away.encrypts, c.want = true, []string{"in eu-west-1"}
		}),
		"a copy of what is encrypted": sharedImage(func(c *accountCase) {
			copied(c)
			c.home.encrypts, c.home.key, c.want = true, ownKey, []string{"in eu-west-1"}
		}),
		"a copy of what is encrypted, with keys in both": sharedImage(func(c *accountCase) {
			copied(c)
			c.home.encrypts, c.home.key, c.away.key = true, ownKey, ownKey
		}),
		"public and encrypted": publicImage(func(c *accountCase) {
			c.home.encrypts, c.home.key = true, ownKey
			c.want = []string{"ami_groups makes public what is encrypted", "leave ami_groups out, or turn EBS " +
				"encryption by default off (aws ec2 disable-ebs-encryption-by-default --region us-east-1)"}
		}),
		"public and encrypted by the template": publicImage(func(c *accountCase) {
			c.devices = root(blockdevice.BlockDevice{Encrypted: config.TriTrue})
			c.want = []string{"as launch_block_device_mappings says: leave ami_groups out, or do not encrypt them"}
			c.never = []string{byDefault, "disable-ebs-encryption-by-default"}
		}),
		"public and encrypted by the template, with a key, and by default": publicImage(func(c *accountCase) {
			c.home.encrypts, c.devices = true, root(blockdevice.BlockDevice{KmsKeyID: ownKey})
			c.want = []string{"or do not encrypt them there, and turn EBS encryption by default off (aws"}
		}),
		"public and encrypted as the source image": publicImage(func(c *accountCase) {
			c.source.BlockDeviceMappings[0].Ebs.Encrypted = aws.Bool(true)
			c.want = []string{"as those of the source image: leave ami_groups out, or start from an image that is not"}
			c.never = []string{"disable-ebs-encryption-by-default"}
		}),
		"a public copy of what is encrypted by default": publicImage(func(c *accountCase) {
			copied(c)
			c.settings.Copy.SkipSaveBuildRegion, c.home.encrypts = true, true
			c.want = []string{"in eu-west-1, by EBS", "disable-ebs-encryption-by-default --region us-east-1"}
		}),
		"a copy of what the template encrypts with AWS's key": sharedImage(func(c *accountCase) {
			copied(c)
			c.settings.Copy.SkipSaveBuildRegion = true
			c.devices = root(blockdevice.BlockDevice{KmsKeyID: "alias/aws/ebs"})
			c.want = []string{"in eu-west-1, as launch_block", "modify-ebs-default-kms-key-id --region eu-west-1"}
		}),
		"public images are blocked": publicImage(func(c *accountCase) {
			c.home.images = "block-new-sharing"
			c.want = []string{"ami_groups makes the image public", "us-east-1 (block-new-sharing)",
				"disable-image-block-public-access"}
		}),
		"public images are blocked where the copy is": publicImage(func(c *accountCase) {
			copied(c)
			c.away.images, c.want = "block-new-sharing", []string{"eu-west-1 (block-new-sharing)"}
		}),
		"public snapshots are blocked": sharedImage(func(c *accountCase) {
			c.settings.Sharing = &SharingConfig{SnapshotGroups: []string{"all"}}
			c.home.images, c.home.snapshots = "block-new-sharing", types.SnapshotBlockPublicAccessStateBlockNewSharing
			c.want = []string{"snapshot_groups makes the snapshots public", "disable-snapshot-block-public-access"}
		}),
		"nothing is blocked": publicImage(func(c *accountCase) {
			c.home.images, c.home.snapshots = "unblocked", types.SnapshotBlockPublicAccessStateUnblocked
		}),
		"blocked, and the image is not public": sharedImage(func(c *accountCase) {
			c.home.images, c.home.snapshots = "block-new-sharing", types.SnapshotBlockPublicAccessStateBlockAllSharing
		}),
		"there are many public images": publicImage(func(c *accountCase) {
			c.home.public, c.want, c.warned = 5, []string{"has 5 public images in us-east-1"}, true
		}),
		"a plain copy of what is encrypted by default": sharedImage(func(c *accountCase) {
			copied(c)
			c.settings.Sharing, c.settings.Copy.EncryptBoot, c.home.encrypts = &SharingConfig{}, config.TriFalse, true
			c.want = []string{"encrypt_boot = false: the disks of the machine are encrypted, by EBS encryption by",
				"leave encrypt_boot out, or turn EBS encryption by default off"}
		}),
		"a plain copy of what the template encrypts": sharedImage(func(c *accountCase) {
			copied(c)
			c.settings.Sharing, c.settings.Copy.EncryptBoot = &SharingConfig{}, config.TriFalse
			c.devices = root(blockdevice.BlockDevice{Encrypted: config.TriTrue})
			c.want = []string{"as launch_block_device_mappings says", "or do not encrypt them there"}
		}),
		"a plain image of what is encrypted by default": sharedImage(func(c *accountCase) {
			c.settings.Sharing, c.settings.Copy.EncryptBoot, c.home.encrypts = &SharingConfig{}, config.TriFalse, true
			c.want, c.warned = []string{"encrypt_boot = false has no effect"}, true
		}),
		"a plain copy": sharedImage(func(c *accountCase) {
			copied(c)
			c.settings.Copy.EncryptBoot = config.TriFalse
		}),
		"no image is made": sharedImage(func(c *accountCase) {
			c.settings.Image.SkipCreateAMI, c.home.encrypts = true, true
		}),
	} {
		t.Run(name, func(t *testing.T) {
			said, unseen, err := c.run(t)
			if len(unseen) > 0 {
				t.Errorf("not looked at: %v", unseen)
			}
			if (err != nil) != (c.want != nil && !c.warned) || (said != "") != c.warned {
				t.Fatalf("error %v, said %q", err, said)
			}
			for _, want := range c.want {
				if text := said + fmt.Sprint(err); !strings.Contains(text, want) {
					t.Errorf("not told %q: %s", want, text)
				}
			}
			for _, never := range c.never {
				if strings.Contains(fmt.Sprint(err), never) {
					t.Errorf("told %q: %v", never, err)
				}
			}
		})
	}
}

// What may not be looked at does not stop the bake, and is told together.
func TestCheckAccountGoesOnWithoutRights(t *testing.T) {
	all := []string{"ec2:GetEbsEncryptionByDefault", "ec2:GetImageBlockPublicAccessState",
		"ec2:GetSnapshotBlockPublicAccessState"}
	for code, want := range map[string][]string{"UnauthorizedOperation": all, "InvalidAction": nil} {
		c := publicImage(func(c *accountCase) {
			copied(c)
			c.settings.Sharing.SnapshotGroups = []string{"all"}
			c.home.refuse, c.away.refuse = code, code
		})
		said, unseen, err := c.run(t)
		if diff := cmp.Diff(want, unseen); diff != "" || err != nil || said != "" {
			t.Errorf("%s: error %v, said %q, rights (-want +got):\n%s", code, err, said, diff)
		}
	}
	c := sharedImage(func(c *accountCase) { c.home.refuse = "InternalError" })
	if _, unseen, err := c.run(t); err == nil || unseen != nil {
		t.Errorf("another error is taken for a missing right: %v, %v", err, unseen)
	}
}

// An image that nobody else gets needs no calls, and none for what is not public.
func TestCheckAccountAsksOnlyWhatMatters(t *testing.T) {
	alone := sharedImage(func(c *accountCase) { c.settings.Sharing = &SharingConfig{} })
	shared := sharedImage(nil)
	for _, one := range []struct {
		c    *accountCase
		want []string
	}{{&alone, nil}, {&shared, []string{"GetEbsEncryptionByDefault"}}} {
		if _, _, err := one.c.run(t); err != nil || !slices.Equal(one.c.home.calls, one.want) {
			t.Errorf("%v, calls %v, want %v", err, one.c.home.calls, one.want)
		}
	}
}

func TestCheckDescription(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"from ami-1, with ~!@#$%^&*()": "",
		"two\nlines":                   "",
		strings.Repeat("a", 255):       "",
		strings.Repeat("a", 256):       "has 256 characters; it must have at most 255",
		"Büro":                         `the character 'ü'`,
		"a – b":                        `the character '–'`,
		"a\u00a0b":                     `only printable characters of ASCII`,
		"bell \a":                      `the character '\a'`,
	} {
		err := CheckDescription("ami_description", text)
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}
