// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/feature/s3/transfermanager"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// sdk configures the real SDK for a lab, with its own key or another. It does not retry, so that tests
// see each refusal.
func sdk(l *labtest.Lab, key ...string) aws.Config {
	if len(key) == 0 {
		key = []string{l.Value("AWS_ACCESS_KEY_ID"), l.Value("AWS_SECRET_ACCESS_KEY")}
	}
	return aws.Config{
		Region: lab.Region, BaseEndpoint: aws.String(l.URL), Credentials: credentials.NewStaticCredentialsProvider(key[0], key[1], ""),
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}
}

func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func powerOff(m *labtest.Machine) {
	m.Print("hello from the machine\r\n")
	m.PowerOff()
}

// run launches an instance of bookworm.
func run(t *testing.T, c *ec2.Client, change func(*ec2.RunInstancesInput)) types.Instance {
	t.Helper()
	in := &ec2.RunInstancesInput{
		ImageId: aws.String(cloud.BaseImageID("bookworm")), InstanceType: types.InstanceTypeT3Nano, MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
	}
	if change != nil {
		change(in)
	}
	out, err := c.RunInstances(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out.Instances[0]
}

// until waits for a condition that must come true within seconds.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within ten seconds", what)
		}
	}
}

func untilState(t *testing.T, c *ec2.Client, id string, want types.InstanceStateName) types.Instance {
	t.Helper()
	var got types.Instance
	until(t, id+" is "+string(want), func() bool {
		out, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
		if err != nil {
			t.Fatal(err)
		}
		got = out.Reservations[0].Instances[0]
		return got.State.Name == want
	})
	return got
}

func TestTheRoadFromALaunchToAnImage(t *testing.T) {
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
			{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("bake")}}},
			{ResourceType: types.ResourceTypeVolume, Tags: []types.Tag{{Key: aws.String("Name"), Value: aws.String("disk")}}},
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
	console, err := c.GetConsoleOutput(t.Context(), &ec2.GetConsoleOutputInput{InstanceId: i.InstanceId, Latest: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := base64.StdEncoding.DecodeString(*console.Output); string(text) != "hello from the machine\r\n" {
		t.Errorf("console: %q", text)
	}
	image, err := c.CreateImage(t.Context(), &ec2.CreateImageInput{InstanceId: i.InstanceId, Name: aws.String("web 1.0"), Description: aws.String("a web server")})
	if err != nil {
		t.Fatal(err)
	}
	if err := ec2.NewImageAvailableWaiter(c, func(o *ec2.ImageAvailableWaiterOptions) { o.MinDelay, o.MaxDelay = time.Millisecond, time.Second }).
		Wait(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{*image.ImageId}}, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	found, err := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{Owners: []string{"self"}, Filters: []types.Filter{
		{Name: aws.String("name"), Values: []string{"web *"}}, {Name: aws.String("state"), Values: []string{"available"}},
	}})
	if err != nil || len(found.Images) != 1 || *found.Images[0].ImageId != *image.ImageId {
		t.Errorf("found %v %v", found, err)
	}
	if _, err := c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}}); err != nil {
		t.Error(err)
	}
	untilState(t, c, *i.InstanceId, types.InstanceStateNameTerminated)
}

func TestEC2RefusesWhatAWSRefuses(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	c := ec2.NewFromConfig(sdk(l))
	i := run(t, c, nil)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	launch := func(change func(*ec2.RunInstancesInput)) error {
		in := &ec2.RunInstancesInput{ImageId: aws.String(cloud.BaseImageID("bookworm")), MinCount: aws.Int32(1), MaxCount: aws.Int32(1)}
		change(in)
		_, err := c.RunInstances(t.Context(), in)
		return err
	}
	describe := func(id string) error {
		_, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
		return err
	}
	big := base64.StdEncoding.EncodeToString(make([]byte, 16385))
	_, filter := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{Filters: []types.Filter{{Name: aws.String("nonsense"), Values: []string{"x"}}}})
	_, action := c.CreateTransitGateway(t.Context(), &ec2.CreateTransitGatewayInput{})
	_, running := c.ModifyInstanceAttribute(t.Context(), &ec2.ModifyInstanceAttributeInput{InstanceId: i.InstanceId, UserData: &types.SecureBlobAttributeValue{Value: []byte("x")}})
	for _, step := range []struct {
		name string
		err  error
		want string
	}{
		{"user data over 16,384 bytes", launch(func(in *ec2.RunInstancesInput) { in.UserData = &big }), "InvalidParameterValue"},
		{"user data that is no base64", launch(func(in *ec2.RunInstancesInput) { in.UserData = aws.String("#!/bin/sh") }), "InvalidUserData.Malformed"},
		{"an unknown image", launch(func(in *ec2.RunInstancesInput) { in.ImageId = aws.String("ami-0123456789abcdef0") }), "InvalidAMIID.NotFound"},
		{"an unknown parameter", launch(func(in *ec2.RunInstancesInput) { in.ImageId = aws.String("resolve:ssm:/none") }), "InvalidParameterValue"},
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

func TestTheImageOfAParameterIsLaunched(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	i := run(t, ec2.NewFromConfig(sdk(l)), func(in *ec2.RunInstancesInput) {
		in.ImageId = aws.String("resolve:ssm:/aws/service/debian/release/13/latest/amd64")
	})
	if *i.ImageId != cloud.BaseImageID("trixie") {
		t.Errorf("launched %s", *i.ImageId)
	}
}

func TestSecurityGroupsAndKeysAsAmazonEbsMakesThem(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	c, ctx := ec2.NewFromConfig(sdk(l)), t.Context()
	g, err := c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: aws.String("packer_1"), Description: aws.String("temporary"), VpcId: aws.String(cloud.DefaultVPC)})
	if err != nil {
		t.Fatal(err)
	}
	open := []types.IpPermission{{IpProtocol: aws.String("tcp"), FromPort: aws.Int32(22), ToPort: aws.Int32(22), IpRanges: []types.IpRange{{CidrIp: aws.String("0.0.0.0/0")}}}}
	if _, err := c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: g.GroupId, IpPermissions: open}); err != nil {
		t.Error(err)
	}
	_, err = c.AuthorizeSecurityGroupIngress(ctx, &ec2.AuthorizeSecurityGroupIngressInput{GroupId: g.GroupId, IpPermissions: open})
	if codeOf(err) != "InvalidPermission.Duplicate" {
		t.Error(err)
	}
	groups, err := c.DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{*g.GroupId}})
	if err != nil || len(groups.SecurityGroups[0].IpPermissions) != 1 || *groups.SecurityGroups[0].IpPermissionsEgress[0].IpProtocol != "-1" {
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
			{DeviceName: aws.String("/dev/xvda"), Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(12), VolumeType: types.VolumeTypeGp3}},
			{DeviceName: aws.String("/dev/sdb"), Ebs: &types.EbsBlockDevice{VolumeSize: aws.Int32(5), DeleteOnTermination: aws.Bool(false)}},
		}
	})
	untilState(t, c, *i.InstanceId, types.InstanceStateNameRunning)
	if _, err := c.DeleteSecurityGroup(ctx, &ec2.DeleteSecurityGroupInput{GroupId: g.GroupId}); codeOf(err) != "DependencyViolation" {
		t.Error(err)
	}
	if _, err := c.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}}); err != nil {
		t.Error(err)
	}
	untilState(t, c, *i.InstanceId, types.InstanceStateNameTerminated)
	volumes, err := c.DescribeVolumes(ctx, &ec2.DescribeVolumesInput{})
	if err != nil || len(volumes.Volumes) != 1 || *volumes.Volumes[0].Size != 5 || volumes.Volumes[0].State != types.VolumeStateAvailable {
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
	image, err := c.CreateImage(ctx, &ec2.CreateImageInput{InstanceId: i.InstanceId, Name: aws.String("one"), TagSpecifications: []types.TagSpecification{
		{ResourceType: types.ResourceTypeImage, Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}},
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
	do(c.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{ImageId: id, Description: &types.AttributeValue{Value: aws.String("new")}}))
	do(c.ModifyImageAttribute(ctx, &ec2.ModifyImageAttributeInput{ImageId: id, LaunchPermission: &types.LaunchPermissionModifications{
		Add: []types.LaunchPermission{{UserId: aws.String("111122223333")}, {Group: types.PermissionGroupAll}},
	}}))
	do(c.EnableImageDeprecation(ctx, &ec2.EnableImageDeprecationInput{ImageId: id, DeprecateAt: aws.Time(time.Now().Add(time.Hour))}))
	do(c.EnableImageDeregistrationProtection(ctx, &ec2.EnableImageDeregistrationProtectionInput{ImageId: id}))
	do(c.CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{*id}, Tags: []types.Tag{{Key: aws.String("more"), Value: aws.String("tags")}}}))
	if _, err := c.DeregisterImage(ctx, &ec2.DeregisterImageInput{ImageId: id}); codeOf(err) != "OperationNotPermitted" {
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
	permissions, err := c.DescribeImageAttribute(ctx, &ec2.DescribeImageAttributeInput{ImageId: id, Attribute: types.ImageAttributeNameLaunchPermission})
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

func TestWhatClientsAskBeforeTheyBegin(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	c, ctx := ec2.NewFromConfig(sdk(l)), t.Context()
	regions, err := c.DescribeRegions(ctx, &ec2.DescribeRegionsInput{})
	if err != nil || len(regions.Regions) < 3 {
		t.Errorf("%v %v", regions, err)
	}
	offerings, err := c.DescribeInstanceTypeOfferings(ctx, &ec2.DescribeInstanceTypeOfferingsInput{
		LocationType: types.LocationTypeAvailabilityZone, Filters: []types.Filter{{Name: aws.String("instance-type"), Values: []string{"t3.nano"}}},
	})
	if err != nil || len(offerings.InstanceTypeOfferings) != 1 || *offerings.InstanceTypeOfferings[0].Location != "us-east-1a" {
		t.Errorf("%v %v", offerings, err)
	}
	kinds, err := c.DescribeInstanceTypes(ctx, &ec2.DescribeInstanceTypesInput{InstanceTypes: []types.InstanceType{"t4g.nano"}})
	if err != nil || kinds.InstanceTypes[0].ProcessorInfo.SupportedArchitectures[0] != types.ArchitectureTypeArm64 {
		t.Errorf("%v %v", kinds, err)
	}
	subnets, err := c.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: []types.Filter{{Name: aws.String("vpc-id"), Values: []string{cloud.DefaultVPC}}}})
	if err != nil || *subnets.Subnets[0].SubnetId != cloud.DefaultSubnet {
		t.Errorf("%v %v", subnets, err)
	}
	vpcs, err := c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: []types.Filter{{Name: aws.String("is-default"), Values: []string{"true"}}}})
	if err != nil || len(vpcs.Vpcs) != 1 {
		t.Errorf("%v %v", vpcs, err)
	}
}

func TestOnlyKnownKeysAreServed(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	access := l.Value("AWS_ACCESS_KEY_ID")
	for _, c := range []struct {
		name                              string
		config                            aws.Config
		wantEC2, wantSTS, wantSSM, wantS3 string
	}{
		{"the right secret", sdk(l), "", "", "", ""},
		{"a wrong secret", sdk(l, access, "wrong"), "AuthFailure", "SignatureDoesNotMatch", "InvalidSignatureException", "SignatureDoesNotMatch"},
		{"an unknown key", sdk(l, "AKIAUNKNOWN00000", "x"), "AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId"},
	} {
		_, one := ec2.NewFromConfig(c.config).DescribeRegions(t.Context(), &ec2.DescribeRegionsInput{})
		_, two := sts.NewFromConfig(c.config).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		_, three := ssm.NewFromConfig(c.config).GetParameter(t.Context(), &ssm.GetParameterInput{Name: aws.String("/aws/service/debian/release/12/latest/amd64")})
		_, four := s3.NewFromConfig(c.config).ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(lab.Bucket)})
		got := []string{codeOf(one), codeOf(two), codeOf(three), codeOf(four)}
		if diff := cmp.Diff([]string{c.wantEC2, c.wantSTS, c.wantSSM, c.wantS3}, got); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
}

func TestAPolicyIsEnforcedPerAction(t *testing.T) {
	policy, err := iam.Parse([]byte(`{"Statement": [
		{"Effect": "Allow", "Action": ["ec2:Describe*", "ec2:RunInstances", "s3:GetObject"], "Resource": "*"},
		{"Effect": "Deny", "Action": "ec2:DescribeVpcs", "Resource": "*"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	l := labtest.Start(t, lab.Options{Policy: policy})
	c, b, ctx := ec2.NewFromConfig(sdk(l)), s3.NewFromConfig(sdk(l)), t.Context()
	run(t, c, nil)
	launch := func(change func(*ec2.RunInstancesInput)) error {
		in := &ec2.RunInstancesInput{ImageId: aws.String(cloud.BaseImageID("bookworm")), MinCount: aws.Int32(1), MaxCount: aws.Int32(1)}
		change(in)
		_, err := c.RunInstances(ctx, in)
		return err
	}
	_, vpcs := c.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{})
	_, put := b.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("a"), Body: strings.NewReader("x")})
	_, get := b.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("none")})
	_, parameter := ssm.NewFromConfig(sdk(l)).GetParameter(ctx, &ssm.GetParameterInput{Name: aws.String("/a")})
	_, identity := sts.NewFromConfig(sdk(l)).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	for _, step := range []struct {
		name string
		err  error
		want string
	}{
		{"denied", vpcs, "UnauthorizedOperation"},
		{"tags on launch need ec2:CreateTags", launch(func(in *ec2.RunInstancesInput) {
			in.TagSpecifications = []types.TagSpecification{{ResourceType: types.ResourceTypeInstance, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}}
		}), "UnauthorizedOperation"},
		{"a profile needs iam:PassRole", launch(func(in *ec2.RunInstancesInput) {
			in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String(lab.Profile)}
		}), "UnauthorizedOperation"},
		{"a dry run tells, too", launch(func(in *ec2.RunInstancesInput) { in.DryRun = aws.Bool(true) }), "DryRunOperation"},
		{"writing", put, "AccessDenied"},
		{"who may not list learns not what is missing", get, "AccessDenied"},
		{"parameters", parameter, "AccessDeniedException"},
		{"who one is needs no permission", identity, ""},
	} {
		if got := codeOf(step.err); got != step.want {
			t.Errorf("%s: got %q, want %q", step.name, got, step.want)
		}
	}
}

func TestCallsAreRecorded(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	_, _ = ec2.NewFromConfig(sdk(l)).DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{VpcIds: []string{"vpc-0123456789abcdef0"}})
	_, _ = s3.NewFromConfig(sdk(l)).PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("a/b"), Body: strings.NewReader("x")})
	var got []string
	until(t, "two calls", func() bool { return len(l.Calls()) == 2 })
	for _, c := range l.Calls() {
		got = append(got, strings.Join([]string{c.Service, c.Action, c.Region, c.Code, c.Detail}, " "))
	}
	if diff := cmp.Diff([]string{"ec2 DescribeVpcs us-east-1 InvalidVpcID.NotFound ", "s3 PutObject us-east-1  bakery-lab/a/b"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFaults(t *testing.T) {
	for text, want := range map[string]string{
		"CreateSecurityGroup=throttle:1":                   "RequestLimitExceeded",
		"CreateSecurityGroup=500:after:1":                  "InternalError",
		"CreateSecurityGroup=InsufficientInstanceCapacity": "InsufficientInstanceCapacity",
		"CreateSecurityGroup=slow=1ms":                     "",
	} {
		fault, err := lab.ParseFault(text)
		if err != nil {
			t.Fatal(err)
		}
		l := labtest.Start(t, lab.Options{Faults: []lab.Fault{fault}})
		c := ec2.NewFromConfig(sdk(l))
		create := func() error {
			_, err := c.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{GroupName: aws.String("g"), Description: aws.String("d")})
			return err
		}
		if got := codeOf(create()); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
		second := map[int]string{0: want, 1: ""}[fault.Count]
		if fault.When == "after" || fault.Code == "slow" {
			second = "InvalidGroup.Duplicate" // the first one took effect
		}
		if got := codeOf(create()); got != second {
			t.Errorf("%s, again: got %q, want %q", text, got, second)
		}
	}
}

func TestAResetConnection(t *testing.T) {
	l := labtest.Start(t, lab.Options{Faults: []lab.Fault{{Action: "*", Code: "reset", When: "before"}}})
	_, err := ec2.NewFromConfig(sdk(l)).DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
	if err == nil || codeOf(err) == "" || !strings.Contains(err.Error(), "EOF") {
		t.Error(err)
	}
}

func TestFaultsThatMakeNoSense(t *testing.T) {
	for _, text := range []string{"", "RunInstances", "=throttle", "A=", "A=slow=never", "A=500:sometimes", "A=500:0", "A=500:nth=0", "A=500:region=", "A=500:name=x"} {
		if _, err := lab.ParseFault(text); err == nil {
			t.Errorf("%q: accepted", text)
		}
	}
}

func TestS3KeepsWhatItIsGiven(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	c, ctx := s3.NewFromConfig(sdk(l)), t.Context()
	body := make([]byte, 300<<10)
	_, _ = rand.Read(body)
	_, err := c.PutObject(ctx, &s3.PutObjectInput{
		Bucket: aws.String(lab.Bucket), Key: aws.String("a b/c+d.tgz"), Body: bytes.NewReader(body), ContentType: aws.String("application/gzip"),
		Metadata: map[string]string{"sha256": "abc"}, ChecksumAlgorithm: s3types.ChecksumAlgorithmSha256,
	})
	if err != nil {
		t.Fatal(err)
	}
	head, err := c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("a b/c+d.tgz"), ChecksumMode: s3types.ChecksumModeEnabled})
	if err != nil || head.Metadata["sha256"] != "abc" || *head.ContentLength != int64(len(body)) || aws.ToString(head.ChecksumSHA256) == "" ||
		aws.ToString(head.ContentType) != "application/gzip" {
		t.Errorf("%+v %v", head, err)
	}
	got, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("a b/c+d.tgz"), Range: aws.String("bytes=10-19")})
	if err != nil {
		t.Fatal(err)
	}
	if part, _ := io.ReadAll(got.Body); !bytes.Equal(part, body[10:20]) {
		t.Error("a range differs")
	}
	list, err := c.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: aws.String(lab.Bucket), Prefix: aws.String("a b/")})
	if err != nil || len(list.Contents) != 1 || *list.Contents[0].Key != "a b/c+d.tgz" {
		t.Errorf("%+v %v", list, err)
	}
	_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("x"), Body: strings.NewReader("x"), ChecksumSHA256: aws.String("AAAA")})
	if codeOf(err) != "BadDigest" {
		t.Errorf("a wrong checksum: %v", err)
	}
	_, err = c.PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("a b/c+d.tgz"), Body: strings.NewReader("x"), IfNoneMatch: aws.String("*")})
	if codeOf(err) != "PreconditionFailed" {
		t.Errorf("over an object: %v", err)
	}
	if _, err := c.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("a b/c+d.tgz")}); err != nil {
		t.Error(err)
	}
	_, err = c.HeadObject(ctx, &s3.HeadObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("a b/c+d.tgz")})
	if codeOf(err) != "NotFound" {
		t.Error(err)
	}
}

func TestMultipartUploads(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	c, ctx := s3.NewFromConfig(sdk(l)), t.Context()
	body := make([]byte, 20<<20)
	_, _ = rand.Read(body)
	up := transfermanager.New(c, func(o *transfermanager.Options) { o.PartSizeBytes, o.MultipartUploadThreshold = 8<<20, 8<<20 })
	if _, err := up.UploadObject(ctx, &transfermanager.UploadObjectInput{
		Bucket: aws.String(lab.Bucket), Key: aws.String("big"), Body: io.MultiReader(bytes.NewReader(body)), Metadata: map[string]string{"sha256": "abc"},
	}); err != nil {
		t.Fatal(err)
	}
	got, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("big")})
	if err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(got.Body)
	if err != nil || !bytes.Equal(all, body) || got.Metadata["sha256"] != "abc" || !strings.HasSuffix(*got.ETag, "-3\"") {
		t.Errorf("%d bytes, %v, %s, %v", len(all), got.Metadata, *got.ETag, err)
	}
}

func fetch(t *testing.T, method, url string, body io.Reader) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestPresignedURLs(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	p := s3.NewPresignClient(s3.NewFromConfig(sdk(l)))
	put, err := p.PresignPutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("log")})
	if err != nil {
		t.Fatal(err)
	}
	if status, text := fetch(t, http.MethodPut, put.URL, strings.NewReader("the log")); status != http.StatusOK {
		t.Errorf("put: %d %s", status, text)
	}
	in := &s3.GetObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("log")}
	get, err := p.PresignGetObject(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	short, err := p.PresignGetObject(t.Context(), in, s3.WithPresignExpires(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the short one expires", func() bool {
		status, text := fetch(t, http.MethodGet, short.URL, nil)
		return status == http.StatusForbidden && strings.Contains(text, "<Code>AccessDenied</Code><Message>Request has expired</Message>")
	})
	for _, step := range []struct {
		name, url string
		status    int
		text      string
	}{
		{"as signed", get.URL, 200, "the log"},
		{"tampered with", strings.Replace(get.URL, "/log?", "/other?", 1), 403, "SignatureDoesNotMatch"},
		{"for another method", put.URL, 403, "SignatureDoesNotMatch"},
		{"unsigned", strings.SplitN(get.URL, "?", 2)[0], 403, "AccessDenied"},
	} {
		if status, text := fetch(t, http.MethodGet, step.url, nil); status != step.status || !strings.Contains(text, step.text) {
			t.Errorf("%s: %d %s", step.name, status, text)
		}
	}
}

func TestAnInstanceProfilesCredentialsWork(t *testing.T) {
	type answer struct {
		status int
		text   string
	}
	asked := make(chan answer, 1)
	l := labtest.Start(t, lab.Options{Runner: labtest.Runner{Guest: func(m *labtest.Machine) {
		status, text := m.Metadata("/latest/meta-data/iam/security-credentials/bakery")
		asked <- answer{status, text}
	}}})
	run(t, ec2.NewFromConfig(sdk(l)), func(in *ec2.RunInstancesInput) {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String("bakery")}
	})
	got := <-asked
	var c struct{ AccessKeyId, SecretAccessKey string } //nolint:revive,staticcheck // AWS's names
	decode(t, got.text, &c)
	out, err := sts.NewFromConfig(sdk(l, c.AccessKeyId, c.SecretAccessKey)).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil || *out.Arn != "arn:aws:sts::123456789012:assumed-role/bakery/lab" {
		t.Errorf("%d %v %v", got.status, out, err)
	}
}

func TestAssumedRolesWork(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	out, err := sts.NewFromConfig(sdk(l)).AssumeRole(t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::123456789012:role/ci"), RoleSessionName: aws.String("s")})
	if err != nil {
		t.Fatal(err)
	}
	who, err := sts.NewFromConfig(sdk(l, *out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey)).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil || *who.Arn != *out.AssumedRoleUser.Arn {
		t.Errorf("%v %v", who, err)
	}
}
