// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/fault"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// nameTag returns a tag Name for a kind of resource.
func nameTag(kind types.ResourceType, name string) types.TagSpecification {
	return types.TagSpecification{ResourceType: kind, Tags: []types.Tag{{Key: aws.String("Name"), Value: &name}}}
}

func TestLaunchStopAndCreateImage(t *testing.T) {
	asked := make(chan string, 1)
	l := labtest.Start(t, lab.Options{Runner: labtest.Runner{Guest: func(m *labtest.Machine) {
		_, text := m.Metadata("/latest/user-data")
		asked <- text
		powerOff(m)
	}}})
	c := ec2.NewFromConfig(sdk(l))
	i := run(t, c, func(in *ec2.RunInstancesInput) {
		in.UserData = aws.String(base64.StdEncoding.EncodeToString([]byte("#!/bin/sh\n\x00\xff")))
		in.InstanceInitiatedShutdownBehavior = types.ShutdownBehaviorStop
		in.SubnetId, in.SecurityGroupIds = aws.String(cloud.DefaultSubnet), []string{cloud.DefaultGroup}
		in.MetadataOptions = &types.InstanceMetadataOptionsRequest{HttpTokens: types.HttpTokensStateRequired}
		in.TagSpecifications = []types.TagSpecification{
			nameTag(types.ResourceTypeInstance, "bake"), nameTag(types.ResourceTypeVolume, "disk"),
		}
	})
	if i.State.Name != types.InstanceStateNamePending || aws.ToString(i.Tags[0].Value) != "bake" {
		t.Errorf("launched: %s %v", i.State.Name, i.Tags)
	}
	if got := <-asked; got != "#!/bin/sh\n\x00\xff" {
		t.Errorf("user data: %q", got)
	}
	stopped := untilState(t, c, *i.InstanceId, types.InstanceStateNameStopped)
	if got := aws.ToString(stopped.StateReason.Code); got != "Client.InstanceInitiatedShutdown" {
		t.Errorf("reason: %s", got)
	}
	console, err := c.GetConsoleOutput(t.Context(),
		&ec2.GetConsoleOutputInput{InstanceId: i.InstanceId, Latest: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := base64.StdEncoding.DecodeString(*console.Output); string(text) != "hello from the machine\r\n" {
		t.Errorf("console: %q", text)
	}
	image, err := c.CreateImage(t.Context(),
		&ec2.CreateImageInput{InstanceId: i.InstanceId, Name: aws.String("web 1.0"),
			Description: aws.String("a web server")})
	if err != nil {
		t.Fatal(err)
	}
	if err := ec2.NewImageAvailableWaiter(c,
		func(o *ec2.ImageAvailableWaiterOptions) { o.MinDelay, o.MaxDelay = time.Millisecond, time.Second }).
		Wait(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{*image.ImageId}}, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	found, err := c.DescribeImages(t.Context(),
		&ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: []types.Filter{
			{Name: aws.String("name"), Values: []string{"web *"}},
			{Name: aws.String("state"), Values: []string{"available"}},
		}})
	if err != nil || len(found.Images) != 1 || *found.Images[0].ImageId != *image.ImageId {
		t.Errorf("found %v %v", found, err)
	}
	if _, err := c.TerminateInstances(t.Context(),
		&ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}}); err != nil {
		t.Error(err)
	}
	untilState(t, c, *i.InstanceId, types.InstanceStateNameTerminated)
}

func TestEC2Errors(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	c := ec2.NewFromConfig(sdk(l))
	i := run(t, c, nil)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	launch := func(change func(*ec2.RunInstancesInput)) error {
		in := &ec2.RunInstancesInput{ImageId: aws.String(cloud.BaseImageID("bookworm")), MinCount: aws.Int32(1),
			MaxCount: aws.Int32(1)}
		change(in)
		_, err := c.RunInstances(t.Context(), in)
		return err
	}
	describe := func(id string) error {
		_, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
		return err
	}
	big := base64.StdEncoding.EncodeToString(make([]byte, 16385))
	_, filter := c.DescribeImages(t.Context(),
		&ec2.DescribeImagesInput{Filters: []types.Filter{{Name: aws.String("nonsense"), Values: []string{"x"}}}})
	_, action := c.CreateTransitGateway(t.Context(), &ec2.CreateTransitGatewayInput{})
	_, running := c.ModifyInstanceAttribute(t.Context(),
		&ec2.ModifyInstanceAttributeInput{InstanceId: i.InstanceId,
			UserData: &types.SecureBlobAttributeValue{Value: []byte("x")}})
	for _, step := range []struct {
		name string
		err  error
		want string
	}{
		{"user data over 16,384 bytes", launch(func(in *ec2.RunInstancesInput) { in.UserData = &big }),
			"InvalidParameterValue"},
		{"user data that is no base64",
			launch(func(in *ec2.RunInstancesInput) { in.UserData = aws.String("#!/bin/sh") }),
			"InvalidUserData.Malformed"},
		{"an unknown image", launch(func(in *ec2.RunInstancesInput) {
			in.ImageId = aws.String("ami-0123456789abcdef0")
		}), "InvalidAMIID.NotFound"},
		{"an unknown parameter", launch(func(in *ec2.RunInstancesInput) {
			in.ImageId = aws.String("resolve:ssm:/none")
		}), "InvalidParameterValue"},
		{"a dry run", launch(func(in *ec2.RunInstancesInput) { in.DryRun = aws.Bool(true) }), "DryRunOperation"},
		{"a dry run that would fail", launch(func(in *ec2.RunInstancesInput) {
			in.DryRun, in.SubnetId = aws.Bool(true), aws.String("subnet-0123456789abcdef0")
		}), "InvalidSubnetID.NotFound"},
		{"an unknown instance", describe("i-0123456789abcdef0"), "InvalidInstanceID.NotFound"},
		{"a malformed instance id", describe("i-xyz"), "InvalidInstanceID.Malformed"},
		{"an unknown filter", filter, "InvalidParameterValue"},
		{"an action the lab has not", action, "InvalidAction"},
		{"new user data while it runs", running, "IncorrectInstanceState"},
	} {
		if got := codeOf(step.err); got != step.want {
			t.Errorf("%s: got %q, want %s", step.name, got, step.want)
		}
	}
}

func TestRunInstancesWithAnImageParameter(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	i := run(t, ec2.NewFromConfig(sdk(l)), func(in *ec2.RunInstancesInput) {
		in.ImageId = aws.String("resolve:ssm:/aws/service/debian/release/13/latest/amd64")
	})
	if *i.ImageId != cloud.BaseImageID("trixie") {
		t.Errorf("launched %s", *i.ImageId)
	}
}

func TestSecurityGroupsAndKeyPairsOfAmazonEbs(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	c, ctx := ec2.NewFromConfig(sdk(l)), t.Context()
	g, err := c.CreateSecurityGroup(ctx,
		&ec2.CreateSecurityGroupInput{GroupName: aws.String("packer_1"), Description: aws.String("temporary"),
			VpcId: aws.String(cloud.DefaultVPC)})
	if err != nil {
		t.Fatal(err)
	}
	open := []types.IpPermission{{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(22), ToPort: aws.Int32(22),
		IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}}
	if _, err := c.AuthorizeSecurityGroupIngress(ctx,
		&ec2.AuthorizeSecurityGroupIngressInput{GroupId: g.GroupId, IpPermissions: open}); err != nil {
		t.Error(err)
	}
	_, err = c.AuthorizeSecurityGroupIngress(ctx,
		&ec2.AuthorizeSecurityGroupIngressInput{GroupId: g.GroupId, IpPermissions: open})
	if codeOf(err) != "InvalidPermission.Duplicate" {
		t.Error(err)
	}
	groups, err := c.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{*g.GroupId}})
	if err != nil || len(groups.SecurityGroups[0].IpPermissions) != 1 ||
		*groups.SecurityGroups[0].IpPermissionsEgress[0].IpProtocol != "-1" {
		t.Errorf("%+v %v", groups, err)
	}
	for _, kind := range []types.KeyType{types.KeyTypeRsa, types.KeyTypeEd25519} {
		k, err := c.CreateKeyPair(ctx, &ec2.CreateKeyPairInput{KeyName: aws.String(string(kind)), KeyType: kind})
		if err != nil || !strings.Contains(aws.ToString(k.KeyMaterial), "PRIVATE KEY") {
			t.Errorf("%s: %v", kind, err)
		}
	}
	i := run(t, c, func(in *ec2.RunInstancesInput) {
		in.KeyName, in.SecurityGroupIds = aws.String("ed25519"), []string{*g.GroupId}
		in.BlockDeviceMappings = []types.BlockDeviceMapping{
			{DeviceName: aws.String("/dev/xvda"),
				Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(12), VolumeType: types.VolumeTypeGp3}},
			{DeviceName: aws.String("/dev/sdb"),
				Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(5), DeleteOnTermination: aws.Bool(false)}},
		}
	})
	untilState(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	if _, err := c.DeleteSecurityGroup(ctx,
		&ec2.DeleteSecurityGroupInput{GroupId: g.GroupId}); codeOf(err) != "DependencyViolation" {
		t.Error(err)
	}
	if _, err := c.TerminateInstances(ctx,
		&ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}}); err != nil {
		t.Error(err)
	}
	untilState(t, c, *i.InstanceId, types.InstanceStateNameTerminated)
	volumes, err := c.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{})
	if err != nil || len(volumes.Volumes) != 1 || *volumes.Volumes[0].Size != 5 ||
		volumes.Volumes[0].State != types.VolumeStateAvailable {
		t.Errorf("volumes: %+v %v", volumes, err)
	}
	if _, err := c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: g.GroupId}); err != nil {
		t.Error(err)
	}
}

func TestImageAttributes(t *testing.T) {
	l := labtest.Start(t, lab.Options{Runner: labtest.Runner{Guest: powerOff}})
	c, ctx := ec2.NewFromConfig(sdk(l)), t.Context()
	i := run(t, c, nil)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameStopped)
	image, err := c.CreateImage(ctx,
		&ec2.CreateImageInput{InstanceId: i.InstanceId, Name: aws.String("one"),
			TagSpecifications: []types.TagSpecification{
				{ResourceType: types.ResourceTypeImage,
					Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}},
			}})
	if err != nil {
		t.Fatal(err)
	}
	id := image.ImageId
	do := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	do(c.ModifyImageAttribute(ctx,
		&ec2.ModifyImageAttributeInput{ImageId: id, Description: &types.AttributeValue{Value: aws.String("new")}}))
	do(c.ModifyImageAttribute(ctx,
		&ec2.ModifyImageAttributeInput{ImageId: id, LaunchPermission: &types.LaunchPermissionModifications{
			Add: []types.LaunchPermission{{UserId: aws.String("111122223333")}, {Group: types.PermissionGroupAll}},
		}}))
	do(c.EnableImageDeprecation(ctx,
		&ec2.EnableImageDeprecationInput{ImageId: id, DeprecateAt: aws.Time(time.Now().Add(time.Hour))}))
	do(c.EnableImageDeregistrationProtection(ctx, &ec2.EnableImageDeregistrationProtectionInput{ImageId: id}))
	do(c.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{*id},
		Tags: []types.Tag{{Key: aws.String("more"), Value: aws.String("tags")}}}))
	if _, err := c.DeregisterImage(ctx,
		&ec2.DeregisterImageInput{ImageId: id}); codeOf(err) != "OperationNotPermitted" {
		t.Error(err)
	}
	out, err := c.DescribeImages(ctx, &ec2.DescribeImagesInput{ImageIds: []string{*id}})
	if err != nil {
		t.Fatal(err)
	}
	got := out.Images[0]
	if *got.Description != "new" || !*got.Public || got.DeprecationTime == nil || len(got.Tags) != 2 {
		t.Errorf("%+v", got)
	}
	permissions, err := c.DescribeImageAttribute(ctx,
		&ec2.DescribeImageAttributeInput{ImageId: id, Attribute: types.ImageAttributeNameLaunchPermission})
	if err != nil || len(permissions.LaunchPermissions) != 2 {
		t.Errorf("%+v %v", permissions, err)
	}
	do(c.DisableImageDeregistrationProtection(ctx, &ec2.DisableImageDeregistrationProtectionInput{ImageId: id}))
	do(c.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: id, DeleteAssociatedSnapshots: aws.Bool(true)}))
	left, err := c.DescribeSnapshots(ctx, &ec2.DescribeSnapshotsInput{OwnerIds: []string{"self"}})
	if err != nil || len(left.Snapshots) != 0 {
		t.Errorf("snapshots are left: %v %v", left, err)
	}
}

func TestDescribeCallsThatClientsBeginWith(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	c, ctx := ec2.NewFromConfig(sdk(l)), t.Context()
	regions, err := c.DescribeRegions(ctx, &ec2.DescribeRegionsInput{})
	if err != nil || len(regions.Regions) < 3 {
		t.Errorf("%v %v", regions, err)
	}
	offerings, err := c.DescribeInstanceTypeOfferings(ctx, &ec2.DescribeInstanceTypeOfferingsInput{
		LocationType: types.LocationTypeAvailabilityZone,
		Filters:      []types.Filter{{Name: aws.String("instance-type"), Values: []string{"t3.nano"}}},
	})
	if err != nil || len(offerings.InstanceTypeOfferings) != 1 ||
		*offerings.InstanceTypeOfferings[0].Location != "us-east-1a" {
		t.Errorf("%v %v", offerings, err)
	}
	kinds, err := c.DescribeInstanceTypes(ctx,
		&ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"t4g.nano"}})
	if err != nil || kinds.InstanceTypes[0].ProcessorInfo.SupportedArchitectures[0] != types.ArchitectureTypeArm64 {
		t.Errorf("%v %v", kinds, err)
	}
	subnets, err := c.DescribeSubnets(ctx,
		&ec2.DescribeSubnetsInput{Filters: []types.Filter{{Name: aws.String("vpc-id"),
			Values: []string{cloud.DefaultVPC}}}})
	if err != nil || *subnets.Subnets[0].SubnetId != cloud.DefaultSubnet {
		t.Errorf("%v %v", subnets, err)
	}
	vpcs, err := c.DescribeVpcs(ctx,
		&ec2.DescribeVpcsInput{Filters: []types.Filter{{Name: aws.String("is-default"), Values: []string{"true"}}}})
	if err != nil || len(vpcs.Vpcs) != 1 {
		t.Errorf("%v %v", vpcs, err)
	}
}

func TestCallsAreRecorded(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	_, _ = ec2.NewFromConfig(sdk(l)).DescribeVpcs(t.Context(),
		&ec2.DescribeVpcsInput{VpcIds: []string{"vpc-0123456789abcdef0"}})
	_, _ = s3.NewFromConfig(sdk(l)).PutObject(t.Context(),
		&s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("a/b"), Body: strings.NewReader("x")})
	var got []string
	until(t, "two calls", func() bool { return len(l.Calls()) == 2 })
	for _, c := range l.Calls() {
		got = append(got, strings.Join([]string{c.Service, c.Action, c.Region, c.Code, c.Detail}, " "))
	}
	if diff := cmp.Diff([]string{"ec2 DescribeVpcs us-east-1 InvalidVpcID.NotFound ",
		"s3 PutObject us-east-1  bakery-lab/a/b"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFaults(t *testing.T) {
	for text, want := range map[string]struct{ first, second string }{
		"CreateSecurityGroup=throttle:1": {"RequestLimitExceeded", ""},
		// the first call took effect
		"CreateSecurityGroup=500:after:1": {"InternalError", "InvalidGroup.Duplicate"},
		"CreateSecurityGroup=InsufficientInstanceCapacity": {"InsufficientInstanceCapacity",
			"InsufficientInstanceCapacity"},
		"CreateSecurityGroup=slow=1ms": {"", "InvalidGroup.Duplicate"},
	} {
		l := withFaults(t, text)
		c := ec2.NewFromConfig(sdk(l))
		create := func() error {
			_, err := c.CreateSecurityGroup(t.Context(),
				&ec2.CreateSecurityGroupInput{GroupName: aws.String("g"), Description: aws.String("d")})
			return err
		}
		if got := codeOf(create()); got != want.first {
			t.Errorf("%s: got %q, want %q", text, got, want.first)
		}
		if got := codeOf(create()); got != want.second {
			t.Errorf("%s, again: got %q, want %q", text, got, want.second)
		}
	}
}

func TestFaultReset(t *testing.T) {
	l := labtest.Start(t, lab.Options{Faults: []fault.Fault{{Action: "*", Effect: fault.Reset{}}}})
	_, err := ec2.NewFromConfig(sdk(l)).DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
	if err == nil || codeOf(err) == "" || !strings.Contains(err.Error(), "EOF") {
		t.Error(err)
	}
}

func TestFaultsThatAreRejected(t *testing.T) {
	for _, text := range []string{"", "RunInstances", "=throttle", "A=", "A=slow=never", "A=500:sometimes", "A=500:0",
		"A=500:nth=0", "A=500:region=", "A=500:name=x"} {
		if _, err := fault.Parse(text); err == nil {
			t.Errorf("%q: accepted", text)
		}
	}
}
