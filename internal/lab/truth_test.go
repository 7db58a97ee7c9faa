// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	ec2api "github.com/amibakery/packer-plugin-bakery/internal/lab/ec2"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/model"
)

// answer is the response to a request that the SDKs would not send.
type answer struct {
	status        int
	code, message string
	body          string
}

// send sends a signed request with a body.
func send(t *testing.T, l *labtest.Lab, service string, header http.Header, body string) answer {
	t.Helper()
	return sendTo(t, l, service, http.MethodPost, "/", header, body)
}

// sendTo sends a signed request with a method to a path.
func sendTo(t *testing.T, l *labtest.Lab, service, method, path string, header http.Header, body string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, l.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, header)
	sum := sha256.Sum256([]byte(body))
	r.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:])) // which S3 asks for
	c, err := sdk(l).Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := v4.NewSigner().SignHTTP(t.Context(), c, r, hex.EncodeToString(sum[:]), service, lab.Region,
		time.Now()); err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{status: response.StatusCode, body: string(text)}
}

// query sends a form: Action=DescribeImages&Owner.1=self.
func query(t *testing.T, l *labtest.Lab, service, form string) answer {
	t.Helper()
	version := map[string]string{"ec2": "2016-11-15", "iam": "2010-05-08", "sts": "2011-06-15"}[service]
	a := send(t, l, service, http.Header{"Content-Type": {"application/x-www-form-urlencoded; charset=utf-8"}},
		"Version="+version+"&"+form)
	var x struct {
		Errors []struct{ Code, Message string } `xml:"Errors>Error"`
		Error  struct{ Code, Message string }
	}
	if err := xml.Unmarshal([]byte(a.body), &x); err != nil {
		t.Fatalf("%s: %v\n%s", form, err, a.body)
	}
	if a.code, a.message = x.Error.Code, x.Error.Message; len(x.Errors) > 0 {
		a.code, a.message = x.Errors[0].Code, x.Errors[0].Message
	}
	return a
}

// refusals asserts the error of each form: its code, a colon, and a part of its message. "" stands for no error.
func refusals(t *testing.T, l *labtest.Lab, service string, all [][2]string) {
	t.Helper()
	for _, one := range all {
		form, want := one[0], one[1]
		code, part, _ := strings.Cut(want, ": ")
		if a := query(t, l, service, form); a.code != code || !strings.Contains(a.message, part) {
			t.Errorf("%s: got %q: %q, want %q", form, a.code, a.message, want)
		}
	}
}

const invalidValue = "InvalidParameterValue"

// launch returns a RunInstances form with more parameters. It launches nothing.
func launch(more string) string {
	return "Action=RunInstances&DryRun=true&MinCount=1&MaxCount=1&InstanceType=t3.nano&ImageId=" +
		cloud.BaseImageID("bookworm") + "&" + more
}

func tagged(kind string) string {
	return "TagSpecification.1.ResourceType=" + kind + "&TagSpecification.1.Tag.1.Key=k" +
		"&TagSpecification.1.Tag.1.Value=v"
}

func notTaggable(kind string) string {
	return invalidValue + ": '" + kind + "' is not a valid taggable resource type for this operation."
}

const dryRun = "DryRunOperation"

func TestTagsOfWhatAnActionDoesNotCreateAreRefused(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, baker)
	spot := "&InstanceMarketOptions.MarketType=spot"
	refusals(t, l, "ec2", [][2]string{
		{launch(tagged("instance")), dryRun}, {launch(tagged("volume")), dryRun},
		{launch(tagged("network-interface")), dryRun},
		{launch(tagged("image")), notTaggable("image")}, {launch(tagged("snapshot")), notTaggable("snapshot")},
		{launch(tagged("made-up")), notTaggable("made-up")},
		{launch(tagged("spot-instances-request")), notTaggable("spot-instances-request")},
		{launch(tagged("spot-instances-request") + spot), dryRun},
		{launch("TagSpecification.1.Tag.1.Key=k"), invalidValue + ": resource type must have a value"},
		{launch("TagSpecification.1.ResourceType=instance"), invalidValue + ": must have at least one tag"},
	})
	forms := map[string]string{
		"CreateImage":                   "InstanceId=i-0123456789abcdef0&Name=n-1",
		"CopyImage":                     "SourceRegion=us-east-1&SourceImageId=ami-0123456789abcdef0&Name=n-1",
		"RegisterImage":                 "Name=n-1",
		"CreateSnapshot":                "VolumeId=vol-0123456789abcdef0",
		"CreateSecurityGroup":           "GroupName=g&GroupDescription=d",
		"AuthorizeSecurityGroupIngress": "GroupId=sg-0123456789abcdef0",
		"AuthorizeSecurityGroupEgress":  "GroupId=sg-0123456789abcdef0",
		"CreateKeyPair":                 "KeyName=k",
		"ImportKeyPair":                 "KeyName=k&PublicKeyMaterial=eA==",
		"CreateLaunchTemplate":          "LaunchTemplateName=n-1&LaunchTemplateData.InstanceType=t3.nano",
		"CreateFleet": "LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version=1&" +
			"TargetCapacitySpecification.TotalTargetCapacity=1",
	}
	own := map[string]string{
		"CreateImage": "image snapshot", "CopyImage": "image snapshot", "RegisterImage": "image",
		"CreateSnapshot": "snapshot", "CreateSecurityGroup": "security-group",
		"AuthorizeSecurityGroupIngress": "security-group-rule", "AuthorizeSecurityGroupEgress": "security-group-rule",
		"CreateKeyPair": "key-pair", "ImportKeyPair": "key-pair", "CreateLaunchTemplate": "launch-template",
		"CreateFleet": "fleet instance",
	}
	for action, form := range forms {
		for _, kind := range []string{"image", "snapshot", "volume", "instance", "security-group",
			"security-group-rule", "key-pair", "launch-template", "fleet", "vpc"} {
			a := query(t, l, "ec2", "Action="+action+"&"+form+"&"+tagged(kind))
			refused := strings.Contains(a.message, "not a valid taggable resource type for this operation")
			if want := !slices.Contains(strings.Fields(own[action]), kind); refused != want {
				t.Errorf("%s with tags of %s: %s: %s", action, kind, a.code, a.message)
			}
		}
	}
}

func TestLaunchesThatEC2Refuses(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, baker)
	spot := func(more string) string { return launch("InstanceMarketOptions.MarketType=spot&" + more) }
	option := func(name, value string) string { return "InstanceMarketOptions.SpotOptions." + name + "=" + value }
	persistent, oneTime := option("SpotInstanceType", "persistent"), option("SpotInstanceType", "one-time")
	disk := func(more string) string { return launch("BlockDeviceMapping.1.DeviceName=/dev/xvda&" + more) }
	other := func(more string) string { return launch("BlockDeviceMapping.1.DeviceName=/dev/sdf&" + more) }
	ebs := func(name, value string) string { return "BlockDeviceMapping.1.Ebs." + name + "=" + value + "&" }
	combination := "InvalidParameterCombination"
	refusals(t, l, "ec2", [][2]string{
		{spot(""), dryRun},
		{spot(persistent + "&" + option("InstanceInterruptionBehavior", "stop")), dryRun},
		{spot(persistent), combination + ": type 'persistent' is not supported"},
		{spot(persistent + "&" + option("InstanceInterruptionBehavior", "terminate")), combination + ": 'terminate'"},
		{spot(oneTime + "&" + option("InstanceInterruptionBehavior", "stop")), combination + ": 'stop'"},
		{spot(oneTime + "&" + option("InstanceInterruptionBehavior", "hibernate")), combination + ": 'hibernate'"},
		{spot(oneTime + "&" + option("ValidUntil", "2030-01-01T00:00:00Z")), combination + ": validUntil"},
		{spot(option("ValidUntil", "2030-01-01T00:00:00Z")), combination + ": validUntil"},
		{spot("CapacityReservationSpecification.CapacityReservationPreference=none"), combination + ": 'none'"},
		{spot("CapacityReservationSpecification.CapacityReservationPreference=open"), combination + ": 'open'"},
		{launch("CapacityReservationSpecification.CapacityReservationPreference=none"), dryRun},

		{disk(ebs("VolumeType", "gp2") + ebs("Iops", "3000")),
			combination + ": The parameter iops is not supported for gp2 volumes."},
		{disk(ebs("VolumeType", "gp2") + ebs("Throughput", "200")), combination + ": not supported for gp2"},
		{disk(ebs("VolumeType", "standard") + ebs("Iops", "100")), combination + ": not supported for standard"},
		{disk(ebs("VolumeType", "io1")), combination + ": The parameter iops must be specified for io1 volumes."},
		{disk(ebs("VolumeType", "io2") + ebs("Iops", "400")), dryRun},
		{disk(ebs("VolumeType", "io1") + ebs("Iops", "401")), invalidValue + ": Iops to volume size ratio"},
		{disk(ebs("VolumeType", "gp3") + ebs("Iops", "100")), invalidValue + ": too low; minimum is 3000"},
		{disk(ebs("VolumeType", "gp3") + ebs("Iops", "80001")), invalidValue + ": too high; maximum is 80000"},
		{disk(ebs("VolumeType", "gp3") + ebs("Throughput", "100")), invalidValue + ": from 125 to 2000"},
		{disk(ebs("VolumeType", "gp3") + ebs("Throughput", "800")), invalidValue + ": to iops ratio of"},
		{disk(ebs("VolumeType", "gp3") + ebs("Throughput", "750")), dryRun},
		{disk(ebs("VolumeType", "st1")), invalidValue + ": too small; minimum is 125GiB"},
		{disk(ebs("VolumeSize", "7")), "InvalidBlockDeviceMapping: is smaller than snapshot"},
		{disk(ebs("VolumeType", "gp9")), invalidValue + ": gp9"},
		{other(ebs("VolumeType", "gp3")),
			"InvalidBlockDeviceMapping: Either snapshot ID or volume size must be provided for: /dev/sdf"},
		{other(ebs("SnapshotId", "snap-0123456789abcdef0")), "InvalidSnapshot.NotFound"},
		{other(ebs("VolumeSize", "1")), dryRun},
		{other("BlockDeviceMapping.1.VirtualName=ephemeral0"), dryRun},

		{launch("ClientToken=" + strings.Repeat("a", 65)), invalidValue + ": clientToken"},
		{launch("ClientToken=" + strings.Repeat("a", 64)), dryRun},
		{launch("MetadataOptions.InstanceMetadataTags=enabled&TagSpecification.1.ResourceType=instance&" +
			"TagSpecification.1.Tag.1.Key=a/b"), invalidValue + `: 'a/b' is not a valid tag key. Tag keys must match`},
		{launch("MetadataOptions.InstanceMetadataTags=enabled&TagSpecification.1.ResourceType=instance&" +
			"TagSpecification.1.Tag.1.Key=_index"), invalidValue + ": '_index' is not a valid tag key"},
		{launch("TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=a/b"), dryRun},
		{launch("TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=" + strings.Repeat("a", 128)),
			invalidValue + ": Tag key exceeds"},
	})
	for _, name := range []string{"t2.nano", "t2.2xlarge", "t3a.medium", "m5.4xlarge", "c6i.xlarge", "r5.large"} {
		if a := query(t, l, "ec2", strings.Replace(launch(""), "t3.nano", name, 1)); a.code != dryRun {
			t.Errorf("%s: %s: %s", name, a.code, a.message)
		}
	}
}

// Tags that an instance reads in its metadata have narrower keys, however and whenever they are set.
func TestTagsInMetadata(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Options{})
	c := ec2.NewFromConfig(sdk(l))
	tag := func(id, key string) string {
		return "Action=CreateTags&ResourceId.1=" + id + "&Tag.1.Value=v&Tag.1.Key=" + url.QueryEscape(key)
	}
	with := run(t, c, func(in *ec2.RunInstancesInput) {
		in.MetadataOptions = &types.InstanceMetadataOptionsRequest{InstanceMetadataTags: "enabled"}
	})
	without := run(t, c, nil)
	on := func(id string) string {
		return "Action=ModifyInstanceMetadataOptions&InstanceMetadataTags=enabled&InstanceId=" + id
	}
	wrong := invalidValue + ": is not a valid tag key. Tag keys must match pattern"
	refusals(t, l, "ec2", [][2]string{
		{tag(*with.InstanceId, "a/b"), wrong}, {tag(*with.InstanceId, "a b"), wrong},
		{tag(*with.InstanceId, ".."), wrong}, {tag(*with.InstanceId, "a:b"), ""},
		{tag(*without.InstanceId, "a/b"), ""}, {on(*without.InstanceId), wrong},
		{"Action=DeleteTags&Tag.1.Key=a/b&ResourceId.1=" + *without.InstanceId, ""}, {on(*without.InstanceId), ""},
		{tag(*without.InstanceId, "a/b"), wrong},
		{tag(*with.InstanceId+"&ResourceId.2="+cloud.BaseImageID("bookworm"), "a/b"), wrong},
	})
}

// Of a machine's disks, CreateImage can change little.
func TestImagesThatEC2Refuses(t *testing.T) {
	t.Parallel()
	s := newShell(t, baker)
	c := ec2.NewFromConfig(sdk(s.lab))
	i := run(t, c, nil)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameStopped)
	create := func(more string) string {
		return "Action=CreateImage&InstanceId=" + *i.InstanceId + "&Name=n-1&" + more
	}
	disk := func(name, more string) string {
		return create("BlockDeviceMapping.1.DeviceName=" + name + "&BlockDeviceMapping.1.Ebs." + more)
	}
	long := url.QueryEscape(strings.Repeat("x", 256))
	refusals(t, s.lab, "ec2", [][2]string{
		{disk("/dev/xvda", "VolumeSize=9"), "InvalidBlockDeviceMapping: volume size"},
		{disk("/dev/xvda", "VolumeSize=7"), "InvalidBlockDeviceMapping: volume size"},
		{disk("/dev/xvda", "Encrypted=true"), "InvalidBlockDeviceMapping: conflicting encryption setting"},
		{disk("/dev/xvda", "KmsKeyId=alias/a"), "InvalidBlockDeviceMapping: encrypt"},
		{disk("/dev/sdf", "DeleteOnTermination=true"), "InvalidBlockDeviceMapping: Either snapshot ID or volume size"},
		{create("Description=" + long), invalidValue},
		{create("Description=" + url.QueryEscape("em — dash")), invalidValue + ": Character sets beyond ASCII"},
		{create("Name=ab"), "InvalidAMIName.Malformed"},
		{disk("/dev/xvda", "VolumeSize=8"), ""},
		{"Action=CopyImage&SourceRegion=us-east-1&Name=c-1&SourceImageId=" + cloud.BaseImageID("bookworm") +
			"&Description=" + long, invalidValue},
		{"Action=CreateSnapshot&VolumeId=vol-0123456789abcdef0&Description=" + long, invalidValue},
		{"Action=RegisterImage&Name=n-2&RootDeviceName=/dev/xvda&Description=" + long, invalidValue},
	})
}

func TestOneAttributeAtATime(t *testing.T) {
	t.Parallel()
	s := newShell(t, baker)
	c := ec2.NewFromConfig(sdk(s.lab))
	i := run(t, c, nil)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameStopped)
	image := s.bake(t, "attributes", nil)
	instance := "Action=ModifyInstanceAttribute&InstanceId=" + *i.InstanceId
	several := "InvalidParameterCombination: Fields for multiple attribute types specified"
	none := "InvalidParameterCombination: No attributes specified."
	on := "Action=ModifyImageAttribute&ImageId=" + image
	refusals(t, s.lab, "ec2", [][2]string{
		{instance, none},
		{instance + "&EbsOptimized.Value=true&EnaSupport.Value=true", several + ": ebsOptimized, enaSupport"},
		{instance + "&GroupId.1=" + cloud.DefaultGroup + "&DisableApiTermination.Value=true", several},
		{instance + "&Attribute=ebsOptimized&Value=true&EnaSupport.Value=true", several},
		{instance + "&EbsOptimized.Value=true", ""},
		{instance + "&Attribute=madeUp&Value=true", invalidValue},
		{on, none},
		{on + "&Description.Value=x&LaunchPermission.Add.1.UserId=111122223333", several},
		{on + "&Description.Value=" + strings.Repeat("x", 256), invalidValue},
		{on + "&Description.Value=x", ""},
	})
}

func TestDeprecationDates(t *testing.T) {
	t.Parallel()
	s := newShell(t, baker)
	image := s.bake(t, "deprecated", nil)
	at := func(years, days int) string {
		return "Action=EnableImageDeprecation&ImageId=" + image + "&DeprecateAt=" +
			time.Now().AddDate(years, 0, days).UTC().Format(time.RFC3339)
	}
	refusals(t, s.lab, "ec2", [][2]string{
		{at(0, -1), invalidValue + ": future"}, {at(10, 2), invalidValue + ": before"}, {at(10, -2), ""},
		{"Action=EnableImageDeprecation&ImageId=" + image, "MissingParameter: DeprecateAt"},
		{"Action=ModifyImageAttribute&ImageId=" + image + "&LaunchPermission.Add.1.Group=all", ""},
		{at(2, 2), invalidValue + ": before"}, {at(2, -2), ""},
	})
}

func TestADeregisteredImageIsUnavailable(t *testing.T) {
	t.Parallel()
	s := newShell(t, baker)
	image := s.bake(t, "gone", nil)
	other := s.bake(t, "stays", nil)
	unavailable := "InvalidAMIID.Unavailable: " + image
	refusals(t, s.lab, "ec2", [][2]string{
		{"Action=DeregisterImage&ImageId=" + image, ""},
		{"Action=DescribeImages&ImageId.1=" + image, ""},
		{strings.Replace(launch(""), cloud.BaseImageID("bookworm"), image, 1), unavailable},
		{"Action=DeregisterImage&ImageId=" + image, unavailable},
		{"Action=DescribeImageAttribute&Attribute=description&ImageId=" + image, unavailable},
		{"Action=CopyImage&SourceRegion=us-east-1&Name=c-1&SourceImageId=" + image, unavailable},
		{"Action=DescribeImages&ImageId.1=ami-0123456789abcdef0", "InvalidAMIID.NotFound"},
		{"Action=DescribeImages&ImageId.1=ami-1", "InvalidAMIID.Malformed"},
	})
	a := query(t, s.lab, "ec2", "Action=DescribeImages&ImageId.1="+image+"&ImageId.2="+other)
	if strings.Contains(a.body, image) || !strings.Contains(a.body, other) {
		t.Errorf("images: %s", a.body)
	}
}

func TestPagesAndFiltersThatEC2Refuses(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, baker)
	c := ec2.NewFromConfig(sdk(l))
	i := run(t, c, nil)
	values := func(n int) string {
		var all strings.Builder
		for v := range n {
			fmt.Fprintf(&all, "&Filter.1.Value.%d=x", v+1)
		}
		return "Filter.1.Name=instance-id" + all.String()
	}
	small := invalidValue + ": for parameter maxResults is invalid. Expecting a value greater than 5."
	with := "InvalidParameterCombination: The parameter instancesSet cannot be used with the parameter maxResults"
	refusals(t, l, "ec2", [][2]string{
		{"Action=DescribeInstances&MaxResults=5&InstanceId.1=" + *i.InstanceId, with},
		{"Action=DescribeInstanceStatus&MaxResults=5&InstanceId.1=" + *i.InstanceId, with},
		{"Action=DescribeImages&MaxResults=5&ImageId.1=" + cloud.BaseImageID("bookworm"),
			"InvalidParameterCombination: maxResults"},
		{"Action=DescribeVolumes&MaxResults=5&VolumeId.1=vol-0123456789abcdef0",
			"InvalidParameterCombination: volumeSet"},
		{"Action=DescribeSnapshots&MaxResults=5&SnapshotId.1=snap-0123456789abcdef0", "InvalidParameterCombination"},
		{"Action=DescribeInstances&MaxResults=4", small}, {"Action=DescribeTags&MaxResults=4", small},
		{"Action=DescribeSubnets&MaxResults=4", small}, {"Action=DescribeSecurityGroups&MaxResults=4", small},
		{"Action=DescribeInstances&MaxResults=0", small}, {"Action=DescribeInstances&MaxResults=-1", small},
		{"Action=DescribeInstances&MaxResults=x", invalidValue},
		{"Action=DescribeInstances&MaxResults=1001", invalidValue + ": 1000"},
		{"Action=DescribeTags&MaxResults=1001", invalidValue + ": 1000"},
		{"Action=DescribeSubnets&MaxResults=1001", invalidValue + ": 1000"},
		{"Action=DescribeInstanceTypes&MaxResults=101", invalidValue + ": 100"},
		{"Action=DescribeVolumes&MaxResults=1001", ""}, {"Action=DescribeInstances&MaxResults=1000", ""},
		{"Action=DescribeInstances&NextToken=zzz", "InvalidNextToken"},
		{"Action=DescribeInstances&" + values(201),
			"FilterLimitExceeded: The maximum number of filter values specified on a single call is 200"},
		{"Action=DescribeInstances&" + values(200), ""},
		{"Action=DescribeInstances&Filter.1.Name=image-id&Filter.1.Value.1=" + strings.Repeat("x", 256),
			"FilterLimitExceeded: 255"},
		{"Action=DescribeInstances&Filter.1.Name=made-up&Filter.1.Value.1=x",
			invalidValue + ": The filter 'made-up' is invalid"},
		{"Action=DescribeInstances&Filter.1.Name=image-id", invalidValue},
		{"Action=DescribeRegions&Filter.1.Name=tag:x&Filter.1.Value.1=x", invalidValue + ": 'tag:x'"},
		{"Action=DescribeImages&Filter.1.Name=platform&Filter.1.Value.1=windows", ""},
	})
}

func TestTextsThatAWSRefuses(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, baker)
	group := func(description string) string {
		return "Action=CreateSecurityGroup&GroupName=g&GroupDescription=" + url.QueryEscape(description)
	}
	refusals(t, l, "ec2", [][2]string{
		{group(`a"b`), invalidValue + ": Invalid security group description. Valid descriptions are strings less " +
			"than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*"},
		{group("it's"), invalidValue + ": Invalid security group"},
		{group("em — dash"), invalidValue + ": beyond ASCII"},
		{group(strings.Repeat("x", 256)), invalidValue}, {group(strings.Repeat("x", 255)), ""},
	})
	role := func(key, value string) string {
		return "Action=CreateRole&RoleName=r" + "&AssumeRolePolicyDocument=%7B%7D&Tags.member.1.Key=" +
			url.QueryEscape(key) + "&Tags.member.1.Value=" + url.QueryEscape(value)
	}
	value := "ValidationError: 1 validation error detected: Value 'b(c)' at 'tags.1.member.value' "
	pattern := "failed to satisfy constraint: Member must satisfy regular expression pattern: " +
		`[\p{L}\p{Z}\p{N}_.:/=+\-@]`
	refusals(t, l, "iam", [][2]string{
		{role("k", "b(c)"), value + pattern},
		{role("a*b", "v"), "ValidationError: Value 'a*b' at 'tags.1.member.key' " + pattern},
		{role(strings.Repeat("k", 129), "v"), "ValidationError: length less than or equal to 128"},
		{"Action=GetRole",
			"ValidationError: Value null at 'roleName' failed to satisfy constraint: Member must not be null"},
		{"Action=GetRole&RoleName=a%20b", "ValidationError: at 'roleName'"},
		{"Action=GetRole&RoleName=r&MadeUp=x", "ValidationError: MadeUp"},
		{role("k", "b c"), ""},
	})
}

// Every action knows DryRun, and changes nothing then. What it names exists.
func TestEveryActionKnowsDryRun(t *testing.T) {
	t.Parallel()
	s := newShell(t, baker)
	c := ec2.NewFromConfig(sdk(s.lab))
	image := s.bake(t, "dry", nil)
	i := run(t, c, nil)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameStopped)
	describe := query(t, s.lab, "ec2", "Action=DescribeVolumes")
	_, volume, _ := strings.Cut(describe.body, "<volumeId>")
	volume, _, _ = strings.Cut(volume, "<")
	snapshot := s.get(t, "Images[0].BlockDeviceMappings[0].Ebs.SnapshotId", "describe-images", "--image-ids", image)
	values := map[string]string{
		"InstanceId": *i.InstanceId, "InstanceId.1": *i.InstanceId, "ImageId": image, "SourceImageId": image,
		"SourceRegion": "us-east-1", "Name": "dry-2", "VolumeId": volume, "SnapshotId": snapshot, "KeyName": "k",
		"GroupId": cloud.DefaultGroup, "GroupName": "g", "GroupDescription": "d", "PublicKeyMaterial": "eA==",
		"ResourceId.1": image, "Tag.1.Key": "k", "Tag.1.Value": "v", "MinCount": "1", "MaxCount": "1",
		"LaunchTemplateName": "dry", "LaunchTemplateData.InstanceType": "t3.nano", "RootDeviceName": "/dev/xvda",
		"DeprecateAt": time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "EbsOptimized.Value": "true",
		"Description.Value": "x", "SpotInstanceRequestId.1": "sir-0123456789abcdef0", "Type": "instant",
		"TargetCapacitySpecification.TotalTargetCapacity":             "1",
		"LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version": "1",
		"ImageBlockPublicAccessState":                                 "block-new-sharing", "KmsKeyId": "alias/aws/ebs",
	}
	attributes := map[string]string{
		"DescribeInstanceAttribute": "userData", "DescribeImageAttribute": "description",
		"ResetImageAttribute": "launchPermission", "DescribeSnapshotAttribute": "createVolumePermission",
	}
	before := query(t, s.lab, "ec2", "Action=DescribeImages&Owner.1=self").body
	table := parameterTable(t)
	for _, action := range ec2api.Actions() {
		form := url.Values{"Action": {action}, "DryRun": {"true"}}
		for name, value := range values {
			first, _, _ := strings.Cut(name, ".")
			changes := table.Has(action, first) && !strings.HasPrefix(action, "Describe")
			if changes || slices.Contains(table.Input(action).Required, first) {
				form.Set(name, value)
			}
		}
		if a := attributes[action]; a != "" {
			form.Set("Attribute", a)
		}
		if action == "EnableSnapshotBlockPublicAccess" {
			form.Set("State", "block-new-sharing")
		}
		alone(action, form)
		if a := query(t, s.lab, "ec2", form.Encode()); a.code != dryRun || a.status != http.StatusPreconditionFailed {
			t.Errorf("%s: %d %s: %s\n%s", action, a.status, a.code, a.message, form.Encode())
		}
	}
	after := query(t, s.lab, "ec2", "Action=DescribeImages&Owner.1=self").body
	if strip := func(text string) string { _, rest, _ := strings.Cut(text, "</requestId>"); return rest }; strip(
		before) != strip(after) {
		t.Errorf("images before and after:\n%s\n%s", before, after)
	}
	untilState(t, c, *i.InstanceId, types.InstanceStateNameStopped)
}

// alone removes parameters that do not go with the others of an action.
func alone(action string, form url.Values) {
	remove := map[string][]string{
		"ModifyInstanceAttribute": {"GroupId"},
		"RunInstances":            {"KeyName"},
	}
	for _, name := range remove[action] {
		form.Del(name)
	}
}

func parameterTable(t *testing.T) *model.Service {
	t.Helper()
	table, err := model.Load("ec2")
	if err != nil {
		t.Fatal(err)
	}
	return table
}
