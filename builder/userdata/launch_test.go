// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

func TestTheMachineRunsAsTheTemplateSays(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*Config)
		want map[string]string
	}{
		"a template that says nothing": {func(*Config) {}, map[string]string{
			"CreditSpecification.CpuCredits": "", "EbsOptimized": "", "EnclaveOptions.Enabled": "", "Placement.Tenancy": "",
			"CapacityReservationSpecification.CapacityReservationPreference": "none", "InstanceMarketOptions.MarketType": "",
			"MetadataOptions.InstanceMetadataTags": "", // EC2 refuses the word where it does not have the thing
		}},
		"its tags to be read by itself": {
			func(c *Config) { c.Metadata.InstanceMetadataTags = optionEnabled },
			map[string]string{"MetadataOptions.InstanceMetadataTags": "enabled"},
		},
		"a burstable type": {func(c *Config) { c.InstanceType = "t3.small" }, map[string]string{"CreditSpecification.CpuCredits": "standard"}},
		"more than its credits": {
			func(c *Config) { c.InstanceType, c.EnableUnlimitedCredits = "t3.small", true },
			map[string]string{"CreditSpecification.CpuCredits": "unlimited"},
		},
		"a type without credits": {func(c *Config) { c.InstanceType = "m5.large" }, map[string]string{"CreditSpecification.CpuCredits": ""}},
		"hardware of one's own": {func(c *Config) {
			c.InstanceType, c.EnableNitroEnclave, c.EbsOptimized = "m5.xlarge", true, true
			c.AvailabilityZone = "us-east-1a"
			c.Placement = Placement{Tenancy: "host", HostID: "h-1"}
			c.LicenseSpecifications = []LicenseSpecification{{LicenseConfigurationRequest{"arn:licence"}}}
			c.CapacityReservationID = "cr-1"
		}, map[string]string{
			"EbsOptimized": "true", "EnclaveOptions.Enabled": "true", "Placement.Tenancy": "host", "Placement.HostId": "h-1",
			"Placement.AvailabilityZone": "us-east-1a", "LicenseSpecification.1.LicenseConfigurationArn": "arn:licence",
			"CapacityReservationSpecification.CapacityReservationPreference":                   "",
			"CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId": "cr-1",
		}},
		"groups of hosts and reservations": {func(c *Config) {
			c.Placement = Placement{HostResourceGroupARN: "arn:hosts"}
			c.CapacityReservationGroupARN = "arn:reservations"
		}, map[string]string{
			"Placement.HostResourceGroupArn": "arn:hosts",
			"CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationResourceGroupArn": "arn:reservations",
		}},
		"a deprecated tenancy": {func(c *Config) { c.Tenancy = "dedicated" }, map[string]string{"Placement.Tenancy": "dedicated"}},
		"disks": {func(c *Config) {
			c.LaunchBlockDevices = []BlockDevice{
				{DeviceName: "/dev/xvda", KmsKeyID: "alias/x", IOPS: 3000, VolumeType: "gp3", Throughput: 200},
				{DeviceName: "/dev/sdf", IOPS: 100, VolumeType: "gp2", VolumeSize: 9, Encrypted: config.TriFalse, DeleteOnTermination: config.TriFalse},
				{DeviceName: "/dev/sdg", NoDevice: true},
			}
		}, map[string]string{
			"BlockDeviceMapping.1.Ebs.Encrypted": "true", "BlockDeviceMapping.1.Ebs.KmsKeyId": "alias/x", "BlockDeviceMapping.1.Ebs.Iops": "3000",
			"BlockDeviceMapping.1.Ebs.Throughput": "200", "BlockDeviceMapping.2.Ebs.Iops": "", "BlockDeviceMapping.2.Ebs.Encrypted": "false",
			"BlockDeviceMapping.2.Ebs.DeleteOnTermination": "false", "BlockDeviceMapping.3.DeviceName": "/dev/sdg",
		}},
		"a network by filters": {func(c *Config) {
			c.VpcFilter.Filters = map[string]string{"tag:Class": "build"}
			c.SubnetFilter.Filter = config.NameValues{{Name: "tag:Class", Value: "a, b"}}
			c.SubnetFilter.MostFree = true
			c.SecurityGroupFilter.Filters = map[string]string{"tag:Class": "build"}
			c.AvailabilityZone = "us-east-1a"
		}, map[string]string{"SubnetId": "subnet-2", "SecurityGroupId.1": "sg-found", "SecurityGroupId.2": ""}},
		"a public address": {func(c *Config) {
			c.SubnetID, c.AssociatePublicIPAddress = "subnet-1", config.TriTrue
		}, map[string]string{
			"NetworkInterface.1.SubnetId": "subnet-1", "NetworkInterface.1.AssociatePublicIpAddress": "true",
			"NetworkInterface.1.SecurityGroupId.1": "sg-new", "SubnetId": "",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			o, _, err := bakes(t, func(o *oven) { c.set(o.config) })
			if err != nil {
				t.Fatal(err)
			}
			for name, want := range c.want {
				if got := o.cloud.form["RunInstances"].Get(name); got != want {
					t.Errorf("the machine was run with %s = %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestNetworkFiltersAskForWhatTheTemplateSays(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.config.VpcFilter.Filters = map[string]string{"isDefault": "false"}
		o.config.SubnetFilter.Filters = map[string]string{"tag:Class": `build, "a, b"`}
		o.config.SubnetFilter.Random = true
		o.config.SecurityGroupFilter.Filter = config.NameValues{{Name: "group-name", Value: "x"}}
	})
	if err != nil {
		t.Fatal(err)
	}
	for action, want := range map[string]map[string][]string{
		"DescribeVpcs":           {"isDefault": {"false"}, "state": {"available"}},
		"DescribeSubnets":        {"tag:Class": {"build", "a, b"}, "state": {"available"}, "vpc-id": {"vpc-1"}},
		"DescribeSecurityGroups": {"group-name": {"x"}, "vpc-id": {"vpc-1"}},
	} {
		if diff := cmp.Diff(want, filtersOf(o.cloud.form[action])); diff != "" {
			t.Errorf("filters of %s (-want +got):\n%s", action, diff)
		}
	}
	if n := o.cloud.count("DescribeVpcs") + o.cloud.count("DescribeSubnets") + o.cloud.count("DescribeSecurityGroups"); n != 3 {
		t.Errorf("%d calls about the network, want 3", n)
	}
}

func filtersOf(form map[string][]string) map[string][]string {
	all := map[string][]string{}
	get := func(key string) string { return strings.Join(form[key], "") }
	for i := '1'; ; i++ {
		prefix := "Filter." + string(i)
		if get(prefix+".Name") == "" {
			return all
		}
		for j := '1'; get(prefix+".Value."+string(j)) != ""; j++ {
			all[get(prefix+".Name")] = append(all[get(prefix+".Name")], get(prefix+".Value."+string(j)))
		}
	}
}

func TestNetworkFiltersThatDoNotSayEnough(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*oven)
		want string
	}{
		"several subnets": {func(o *oven) { o.config.SubnetFilter.Filters = map[string]string{"tag:a": "b"} }, "matches 2 subnets"},
		"no group": {func(o *oven) {
			o.config.SecurityGroupFilter.Filters = map[string]string{"tag:Class": "nothing"}
		}, "security_group_filter matches no security group"},
	} {
		t.Run(name, func(t *testing.T) {
			o, _, err := bakes(t, c.set)
			if err == nil || !strings.Contains(err.Error(), c.want) || o.cloud.count("RunInstances") > 0 {
				t.Errorf("error %v, %d machines; want %q and none", err, o.cloud.count("RunInstances"), c.want)
			}
		})
	}
}

func TestSourceAMIPinsWhatTheFilterFinds(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.config.SourceAmiFilter = SourceFilter{Owners: []string{"self", "amazon"}, Filters: map[string]string{"name": "debian-*, ubuntu-*"}}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(o.ui.String(), sourceID) {
		t.Errorf("the bake did not start from %s:\n%s", sourceID, o.ui)
	}
}

// pagedImages tells of one image a page.
type pagedImages []string

func (p pagedImages) DescribeImages(_ context.Context, in *ec2.DescribeImagesInput, _ ...func(*ec2.Options)) (*ec2.DescribeImagesOutput, error) {
	n, _ := strconv.Atoi(aws.ToString(in.NextToken))
	out := &ec2.DescribeImagesOutput{Images: []types.Image{{ImageId: aws.String(p[n]), CreationDate: aws.String(p[n])}}}
	if n+1 < len(p) {
		out.NextToken = aws.String(strconv.Itoa(n + 1))
	}
	return out, nil
}

func TestTheNewestImageMayBeOnAnyPage(t *testing.T) {
	source, err := findSource(t.Context(), &SourceConfig{SourceAmi: "debian-*"}, pagedImages{"2025", "2026", "2024"}, nil)
	if err != nil || aws.ToString(source.ImageId) != "2026" {
		t.Errorf("found %s, error %v", aws.ToString(source.ImageId), err)
	}
}

func TestASubnetWithoutRoomIsPassedOver(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.config.VpcID = "vpc-1"
		o.cloud.broken["RunInstances"] = first(1, 500, "InsufficientInstanceCapacity")
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := o.cloud.form["RunInstances"].Get("SubnetId"); got != "subnet-1" {
		t.Errorf("the machine is in %s, want the subnet with less free addresses", got)
	}
}

// temporaryProfile gives the machine a role of its own.
func temporaryProfile(o *oven) {
	o.config.TemporaryProfilePolicy = &PolicyDocument{
		Version: "2012-10-17", Statement: []Statement{{Effect: "Allow", Action: []string{"s3:GetObject"}, Resource: []string{"*"}}},
	}
	o.config.AMIName = "hello (1)"
}

func TestATemporaryProfileIsMadeAndRemoved(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		temporaryProfile(o)
		o.cloud.broken["RunInstances"] = first(3, 400, codeParameterValue) // IAM has not told EC2 yet
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{newID, "snap-of-" + newID}, o.cloud.left()); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	const policy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject"],"Resource":["*"]}]}`
	if got := o.cloud.form["PutRolePolicy"].Get("PolicyDocument"); got != policy {
		t.Errorf("the policy is %s", got)
	}
	if got := o.cloud.form["RunInstances"].Get("IamInstanceProfile.Name"); got != testFolder {
		t.Errorf("the machine's profile is %q", got)
	}
	if got := o.cloud.form["CreateRole"].Get("Tags.member.1.Value"); got != "bakery hello -1-" {
		t.Errorf("the role's first tag is %q, and IAM takes no brackets", got)
	}
}

func TestATemporaryProfileOutlivesThatIAMIsSlowToKnowItsOwn(t *testing.T) {
	for name, set := range map[string]func(*oven){
		"its role, for the policy":  func(o *oven) { o.cloud.broken["PutRolePolicy"] = first(3, 404, codeNoEntity) },
		"its role, for the profile": func(o *oven) { o.cloud.broken["AddRoleToInstanceProfile"] = first(3, 404, codeNoEntity) },
		"that the role is out of it": func(o *oven) {
			o.cloud.broken["DeleteInstanceProfile"] = first(2, 409, codeDeleteConflict)
			o.cloud.broken["DeleteRole"] = first(2, 409, codeDeleteConflict)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, _, err := bakes(t, func(o *oven) { temporaryProfile(o); set(o) })
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{newID, "snap-of-" + newID}, o.cloud.left()); diff != "" {
				t.Errorf("what is left (-want +got):\n%s", diff)
			}
		})
	}
}

func TestANewProfileIsRemovedThoughIAMDoesNotKnowItYet(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		temporaryProfile(o)
		o.cloud.broken["RunInstances"] = always(400, "Unsupported")
		for _, action := range []string{"RemoveRoleFromInstanceProfile", "DeleteInstanceProfile", "DeleteRolePolicy", "DeleteRole"} {
			o.cloud.broken[action] = first(2, 404, codeNoEntity)
		}
	})
	if err == nil {
		t.Fatal("the bake succeeded")
	}
	if left := o.cloud.left(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestTagsOfARoleAreWhatIAMTakes(t *testing.T) {
	got := map[string]string{}
	for _, tag := range iamTags(map[string]string{"Name": "a (b)", "name": "again", "cost{center}": "7"}) {
		got[*tag.Key] = *tag.Value
	}
	if diff := cmp.Diff(map[string]string{"Name": "a -b-", "cost-center-": "7"}, got); diff != "" {
		t.Errorf("tags (-want +got):\n%s", diff)
	}
}

func TestTheRoleIsForTheEC2OfItsPartition(t *testing.T) {
	for region, want := range map[string]string{
		"us-east-1": `"ec2.amazonaws.com"`, "us-gov-west-1": `"ec2.amazonaws.com"`, "cn-north-1": `"ec2.amazonaws.com.cn"`,
	} {
		if got := trust(region); !strings.Contains(got, want) {
			t.Errorf("the role of %s trusts %s", region, got)
		}
	}
}

func TestATemporaryProfileLeavesNothingWhicheverCallFails(t *testing.T) {
	for _, action := range []string{"CreateRole", "PutRolePolicy", "CreateInstanceProfile", "AddRoleToInstanceProfile", "RunInstances"} {
		for name, set := range map[string]func(*oven){
			"refused": func(o *oven) { o.cloud.broken[action] = always(403, "AccessDenied") },
			"lost":    func(o *oven) { o.cloud.lost[action] = always(403, "AccessDenied") },
		} {
			t.Run(action+" "+name, func(t *testing.T) {
				o, _, err := bakes(t, func(o *oven) { temporaryProfile(o); set(o) })
				if err == nil {
					t.Fatal("the bake succeeded")
				}
				if left := o.cloud.left(); len(left) > 0 {
					t.Errorf("left: %v", left)
				}
			})
		}
	}
}

func TestAProfileThatEC2NeverKnows(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.config.IamInstanceProfile, o.config.SkipProfileValidation = "typo", true
		o.cloud.broken["RunInstances"] = always(400, codeParameterValue)
	})
	if err == nil || !strings.Contains(err.Error(), "Invalid IAM Instance Profile") {
		t.Errorf("error %v", err)
	}
	if o.cloud.count("GetInstanceProfile") > 0 {
		t.Error("the profile was looked for all the same")
	}
}

func TestAProfileIsLookedForBeforeAnythingIsMade(t *testing.T) {
	for name, c := range map[string]struct {
		code string
		want string
	}{
		"one that is not there":       {codeNoEntity, "there is no instance profile typo"},
		"one that may not be seen":    {"AccessDenied", ""},
		"one that cannot be seen now": {"ServiceUnavailable", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o, _, err := bakes(t, func(o *oven) {
				o.config.IamInstanceProfile = "arn:aws:iam::123456789012:instance-profile/path/typo"
				o.cloud.broken["GetInstanceProfile"] = always(404, c.code)
			})
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), "typo")) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			if got := o.cloud.form["GetInstanceProfile"].Get("InstanceProfileName"); got != "typo" {
				t.Errorf("looked for %q", got)
			}
			if c.want != "" && o.cloud.count("CreateSecurityGroup") > 0 {
				t.Error("something was made before")
			}
		})
	}
}
