// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/packer-plugin-sdk/template/config"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
)

func TestMachineIsLaunchedAsTemplateSays(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*Config)
		want map[string]string
	}{
		"with the defaults": {func(*Config) {}, map[string]string{
			"CreditSpecification.CpuCredits": "", "EbsOptimized": "", "EnclaveOptions.Enabled": "",
			"Placement.Tenancy": "",
			"CapacityReservationSpecification.CapacityReservationPreference": "none",
			"InstanceMarketOptions.MarketType":                               "",
			// Regions without this option refuse a request that names it.
			"MetadataOptions.InstanceMetadataTags": "",
		}},
		"with tags in its metadata": {
			func(c *Config) { c.Metadata.InstanceMetadataTags = "enabled" },
			map[string]string{"MetadataOptions.InstanceMetadataTags": "enabled"},
		},
		"with a burstable type": {
			func(c *Config) { c.InstanceType = "t3.small" },
			map[string]string{"CreditSpecification.CpuCredits": "standard"},
		},
		"with unlimited credits": {
			func(c *Config) { c.InstanceType, c.EnableUnlimitedCredits = "t3.small", true },
			map[string]string{"CreditSpecification.CpuCredits": "unlimited"},
		},
		"with a type without credits": {
			func(c *Config) { c.InstanceType = "m5.large" }, map[string]string{"CreditSpecification.CpuCredits": ""},
		},
		"on a dedicated host": {func(c *Config) {
			c.InstanceType, c.EnableNitroEnclave, c.EbsOptimized = "m5.xlarge", true, true
			c.AvailabilityZone = "us-east-1a"
			c.Placement = placement{Tenancy: "host", HostID: "h-1"}
			c.LicenseSpecifications = make([]licenseSpecification, 1)
			c.LicenseSpecifications[0].Request.LicenseConfigurationARN = "arn:licence"
			c.CapacityReservationID = "cr-1"
		}, map[string]string{
			"EbsOptimized": "true", "EnclaveOptions.Enabled": "true", "Placement.Tenancy": "host",
			"Placement.HostId":           "h-1",
			"Placement.AvailabilityZone": "us-east-1a", "LicenseSpecification.1.LicenseConfigurationArn": "arn:licence",
			"CapacityReservationSpecification.CapacityReservationPreference":                   "",
			"CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId": "cr-1",
		}},
		"with groups of hosts and reservations": {func(c *Config) {
			c.Placement = placement{HostResourceGroupARN: "arn:hosts"}
			c.CapacityReservationGroupARN = "arn:reservations"
		}, map[string]string{
			"Placement.HostResourceGroupArn": "arn:hosts",
			"CapacityReservationSpecification.CapacityReservationTarget." +
				"CapacityReservationResourceGroupArn": "arn:reservations",
		}},
		"with the old name of tenancy": {
			func(c *Config) { c.Tenancy = "dedicated" }, //nolint:staticcheck // deprecated, and has to work
			map[string]string{"Placement.Tenancy": "dedicated"},
		},
		"with disks": {func(c *Config) {
			c.LaunchBlockDevices = []blockDevice{
				{DeviceName: "/dev/xvda", KmsKeyID: "alias/x", IOPS: 3000, VolumeType: "gp3", Throughput: 200},
				{
					DeviceName: "/dev/sdf", IOPS: 100, VolumeType: "gp2", VolumeSize: 9,
					Encrypted: config.TriFalse, DeleteOnTermination: config.TriFalse,
				},
				{DeviceName: "/dev/sdg", NoDevice: true},
			}
		}, map[string]string{
			"BlockDeviceMapping.1.Ebs.Encrypted": "true", "BlockDeviceMapping.1.Ebs.KmsKeyId": "alias/x",
			"BlockDeviceMapping.1.Ebs.Iops":       "3000",
			"BlockDeviceMapping.1.Ebs.Throughput": "200", "BlockDeviceMapping.2.Ebs.Iops": "",
			"BlockDeviceMapping.2.Ebs.Encrypted":           "false",
			"BlockDeviceMapping.2.Ebs.DeleteOnTermination": "false", "BlockDeviceMapping.3.DeviceName": "/dev/sdg",
		}},
		"in a network by filters": {func(c *Config) {
			c.VpcFilter.Filters = map[string]string{"tag:Class": "build"}
			c.SubnetFilter.Filter = config.NameValues{{Name: "tag:Class", Value: "a, b"}}
			c.SubnetFilter.MostFree = true
			c.SecurityGroupFilter.Filters = map[string]string{"tag:Class": "build"}
			c.AvailabilityZone = "us-east-1a"
		}, map[string]string{"SubnetId": "subnet-2", "SecurityGroupId.1": "sg-found", "SecurityGroupId.2": ""}},
		"with a public address": {func(c *Config) {
			c.SubnetID, c.AssociatePublicIPAddress = "subnet-1", config.TriTrue
		}, map[string]string{
			"NetworkInterface.1.SubnetId": "subnet-1", "NetworkInterface.1.AssociatePublicIpAddress": "true",
			"NetworkInterface.1.SecurityGroupId.1": "sg-new", "SubnetId": "",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, func(b *testBuild) { c.set(b.config) })
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range c.want {
				if got := b.account.Requests["RunInstances"].Get(name); got != want {
					t.Errorf("the machine was run with %s = %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestNetworkFiltersAreThoseOfTemplate(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.config.VpcFilter.Filters = map[string]string{"isDefault": "false"}
		b.config.SubnetFilter.Filters = map[string]string{"tag:Class": `build, "a, b"`}
		b.config.SubnetFilter.Random = true
		b.config.SecurityGroupFilter.Filter = config.NameValues{{Name: "group-name", Value: "x"}}
	})
	if err != nil {
		t.Fatal(err)
	}
	for action, want := range map[string]map[string][]string{
		"DescribeVpcs":           {"isDefault": {"false"}, "state": {"available"}},
		"DescribeSubnets":        {"tag:Class": {"build", "a, b"}, "state": {"available"}, "vpc-id": {"vpc-1"}},
		"DescribeSecurityGroups": {"group-name": {"x"}, "vpc-id": {"vpc-1"}},
	} {
		if diff := cmp.Diff(want, awsfake.Filters(b.account.Requests[action])); diff != "" {
			t.Errorf("filters of %s (-want +got):\n%s", action, diff)
		}
	}
	if calls := b.account.CallsOf("DescribeVpcs", "DescribeSubnets", "DescribeSecurityGroups"); len(calls) != 3 {
		t.Errorf("the calls about the network are %v, want each once", calls)
	}
}

func TestNetworkFiltersThatMatchTooManyOrNone(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*testBuild)
		want string
	}{
		"several subnets": {
			func(b *testBuild) { b.config.SubnetFilter.Filters = map[string]string{"tag:a": "b"} },
			"matches 2 subnets",
		},
		"no group": {func(b *testBuild) {
			b.config.SecurityGroupFilter.Filters = map[string]string{"tag:Class": "nothing"}
		}, "security_group_filter matches no security group"},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, c.set)
			if err == nil || !strings.Contains(err.Error(), c.want) || b.launched() {
				t.Errorf("error %v, launched %t; want %q and no launch", err, b.launched(), c.want)
			}
		})
	}
}

func TestSourceIsWhatFilterFinds(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.config.SourceAmiFilter = sourceFilter{
			Owners: []string{"self", "amazon"}, Filters: map[string]string{"name": "debian-*, ubuntu-*"},
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.ui.String(), awsfake.SourceImageID) {
		t.Errorf("the bake did not start from %s:\n%s", awsfake.SourceImageID, b.ui)
	}
}

func TestLaunchTriesNextSubnetWithoutCapacity(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.config.VpcID = "vpc-1"
		b.account.FailBefore["RunInstances"] = awsfake.FirstCalls(1, 500, "InsufficientInstanceCapacity")
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := b.account.Requests["RunInstances"].Get("SubnetId"); got != "subnet-1" {
		t.Errorf("the machine is in %s, want the subnet with fewer free addresses", got)
	}
}

func TestTemporaryProfileIsCreatedAndRemoved(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.setTemporaryProfile()
		// EC2 does not know the profile yet.
		b.account.FailBefore["RunInstances"] = awsfake.FirstCalls(3, 400, awscall.CodeParameterValue)
	})
	if err != nil {
		t.Fatal(err)
	}
	b.checkOnlyImageLeft()
	const policy = `{"Version":"2012-10-17","Statement":[` +
		`{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["*"]}]}`
	if got := b.account.Requests["PutRolePolicy"].Get("PolicyDocument"); got != policy {
		t.Errorf("the policy is %s", got)
	}
	if got := b.account.Requests["RunInstances"].Get("IamInstanceProfile.Name"); got != testFolder {
		t.Errorf("the machine's profile is %q", got)
	}
	if got := b.account.Requests["CreateRole"].Get("Tags.member.1.Value"); got != "bakery hello -1-" {
		t.Errorf("the role's first tag is %q, and IAM takes no brackets", got)
	}
}

func TestTemporaryProfileIsCreatedThoughIAMIsSlow(t *testing.T) {
	for name, set := range map[string]func(*testBuild){
		"PutRolePolicy does not know the role yet": func(b *testBuild) {
			b.account.FailBefore["PutRolePolicy"] = awsfake.FirstCalls(3, 404, awscall.CodeNoSuchEntity)
		},
		"AddRoleToInstanceProfile does not know the role yet": func(b *testBuild) {
			b.account.FailBefore["AddRoleToInstanceProfile"] = awsfake.FirstCalls(3, 404, awscall.CodeNoSuchEntity)
		},
		"the role still counts as in use": func(b *testBuild) {
			b.account.FailBefore["DeleteInstanceProfile"] = awsfake.FirstCalls(2, 409, awscall.CodeDeleteConflict)
			b.account.FailBefore["DeleteRole"] = awsfake.FirstCalls(2, 409, awscall.CodeDeleteConflict)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, func(b *testBuild) { b.setTemporaryProfile(); set(b) })
			if err != nil {
				t.Fatal(err)
			}
			b.checkOnlyImageLeft()
		})
	}
}

func TestTemporaryProfileIsRemovedThoughIAMIsSlow(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.setTemporaryProfile()
		b.account.FailBefore["RunInstances"] = awsfake.Always(400, "Unsupported")
		for _, action := range []string{
			"RemoveRoleFromInstanceProfile", "DeleteInstanceProfile", "DeleteRolePolicy", "DeleteRole",
		} {
			b.account.FailBefore[action] = awsfake.FirstCalls(2, 404, awscall.CodeNoSuchEntity)
		}
	})
	if err == nil {
		t.Fatal("the bake succeeded")
	}
	b.checkNothingLeft()
}

func TestTemporaryProfileLeavesNothingWhenAnyCallFails(t *testing.T) {
	for _, action := range []string{
		"CreateRole", "PutRolePolicy", "CreateInstanceProfile", "AddRoleToInstanceProfile", "RunInstances",
	} {
		for name, set := range map[string]func(*testBuild){
			"refused": func(b *testBuild) { b.account.FailBefore[action] = awsfake.Always(403, "AccessDenied") },
			"lost":    func(b *testBuild) { b.account.FailAfter[action] = awsfake.Always(403, "AccessDenied") },
		} {
			t.Run(action+" "+name, func(t *testing.T) {
				b, _, err := runBuild(t, func(b *testBuild) { b.setTemporaryProfile(); set(b) })
				if err == nil {
					t.Fatal("the bake succeeded")
				}
				b.checkNothingLeft()
			})
		}
	}
}

func TestProfileThatEC2NeverFindsIsAnError(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.config.IamInstanceProfile, b.config.SkipProfileValidation = "typo", true
		b.account.FailBefore["RunInstances"] = awsfake.Always(400, awscall.CodeParameterValue)
	})
	if err == nil || !strings.Contains(err.Error(), "Invalid IAM Instance Profile") {
		t.Errorf("error %v", err)
	}
	if b.account.Count("GetInstanceProfile") > 0 {
		t.Error("the profile was looked for all the same")
	}
}

func TestProfileIsCheckedBeforeLaunch(t *testing.T) {
	for name, c := range map[string]struct {
		code string
		want string
	}{
		"that does not exist":     {awscall.CodeNoSuchEntity, "there is no instance profile typo"},
		"that may not be read":    {"AccessDenied", ""},
		"that cannot be read now": {"ServiceUnavailable", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, func(b *testBuild) {
				b.config.IamInstanceProfile = "arn:aws:iam::123456789012:instance-profile/path/typo"
				b.account.FailBefore["GetInstanceProfile"] = awsfake.Always(404, c.code)
			})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), "typo")) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if got := b.account.Requests["GetInstanceProfile"].Get("InstanceProfileName"); got != "typo" {
				t.Errorf("looked for %q", got)
			}
			if c.want != "" && b.account.Count("CreateSecurityGroup") > 0 {
				t.Error("something was made before")
			}
		})
	}
}
