// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// state returns the lab's state from its API, as for a test in another process.
func state(t *testing.T, l *labtest.Lab) (all []lab.Resource) {
	t.Helper()
	_, text := control(t, l, http.MethodGet, "state", "")
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func s3Client(l *labtest.Lab) *s3.Client {
	return s3.NewFromConfig(sdk(l), func(o *s3.Options) { o.UsePathStyle = true })
}

func TestStateListsAllCreatedResources(t *testing.T) {
	l := labtest.Start(t, lab.Options{Runner: labtest.Runner{Guest: powerOff}})
	if all := state(t, l); len(all) > 0 {
		t.Errorf("a new lab is not empty: %v", all)
	}
	tags := []types.Tag{{Key: aws.String("bake"), Value: aws.String("1")}}
	tagged := func(kinds ...types.ResourceType) (all []types.TagSpecification) {
		for _, k := range kinds {
			all = append(all, types.TagSpecification{ResourceType: k, Tags: tags})
		}
		return all
	}
	c := ec2.NewFromConfig(sdk(l))
	i := run(t, c, func(in *ec2.RunInstancesInput) {
		in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{MarketType: types.MarketTypeSpot,
			SpotOptions: &types.SpotMarketOptions{
				SpotInstanceType:             types.SpotInstanceTypePersistent,
				InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorStop,
			}}
		in.TagSpecifications = tagged(types.ResourceTypeInstance, types.ResourceTypeVolume,
			types.ResourceTypeSpotInstancesRequest)
	})
	untilState(t, c, *i.InstanceId, types.InstanceStateNameStopped)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	image, err := c.CreateImage(t.Context(), &ec2.CreateImageInput{
		InstanceId: i.InstanceId, Name: aws.String("web"),
		TagSpecifications: tagged(types.ResourceTypeImage, types.ResourceTypeSnapshot),
	})
	must(err)
	_, err = c.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{
		GroupName: aws.String("g"), Description: aws.String("d"),
		TagSpecifications: tagged(types.ResourceTypeSecurityGroup),
	}, func(o *ec2.Options) { o.Region = "eu-west-1" })
	must(err)
	_, err = c.CreateKeyPair(t.Context(), &ec2.CreateKeyPairInput{
		KeyName: aws.String("k"), KeyType: types.KeyTypeEd25519, TagSpecifications: tagged(types.ResourceTypeKeyPair),
	})
	must(err)
	roles := iam.NewFromConfig(sdk(l))
	_, err = roles.CreateRole(t.Context(),
		&iam.CreateRoleInput{RoleName: aws.String("r"), AssumeRolePolicyDocument: aws.String("{}")})
	must(err)
	_, err = roles.CreateInstanceProfile(t.Context(),
		&iam.CreateInstanceProfileInput{InstanceProfileName: aws.String("p")})
	must(err)
	objects := s3Client(l)
	_, err = objects.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(lab.Bucket), Key: aws.String("a/b"), Body: strings.NewReader("12345"),
		Metadata: map[string]string{"m": "v"},
		Tagging:  aws.String("bake=1"), ServerSideEncryption: s3types.ServerSideEncryptionAes256,
	})
	must(err)
	_, err = objects.CreateMultipartUpload(t.Context(),
		&s3.CreateMultipartUploadInput{Bucket: aws.String(lab.Bucket), Key: aws.String("big"),
			Tagging: aws.String("bake=1")})
	must(err)

	until(t, "the image is available", func() bool {
		out, err := c.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{*image.ImageId}})
		must(err)
		return out.Images[0].State == types.ImageStateAvailable
	})
	var got []string
	for _, r := range state(t, l) {
		one := r.Kind + " " + r.Region + " " + r.State
		if r.Tags["bake"] == "1" {
			one += " tagged"
		}
		got = append(got, one)
		if r.Kind == "object" && (r.Size != 5 || r.Metadata["X-Amz-Meta-M"] != "v" ||
			r.Metadata["X-Amz-Server-Side-Encryption"] != "AES256") {
			t.Errorf("the object: %+v", r)
		}
	}
	want := []string{
		"image us-east-1 available tagged", "instance us-east-1 stopped tagged", "instance-profile  ",
		"key-pair us-east-1  tagged", "object   tagged",
		"role  ", "security-group eu-west-1  tagged", "snapshot us-east-1 completed tagged",
		"spot-request us-east-1 disabled tagged",
		"upload   tagged", "volume us-east-1 in-use tagged",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the state (-want +got):\n%s", diff)
	}
	_, err = c.CancelSpotInstanceRequests(t.Context(),
		&ec2.CancelSpotInstanceRequestsInput{SpotInstanceRequestIds: []string{*i.SpotInstanceRequestId}})
	must(err)
	_, err = c.TerminateInstances(t.Context(), &ec2.TerminateInstancesInput{InstanceIds: []string{*i.InstanceId}})
	must(err)
	untilState(t, c, *i.InstanceId, types.InstanceStateNameTerminated)
	left := l.Left()
	if len(left) != 8 || slices.ContainsFunc(left,
		func(r string) bool { return strings.HasPrefix(r, "instance ") || strings.HasPrefix(r, "spot-request ") }) {
		t.Errorf("what is left counts what is gone: %v", left)
	}
}

func TestS3ObjectTags(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	c := s3Client(l)
	at := func() (*string, *string) { return aws.String(lab.Bucket), aws.String("x") }
	bucket, key := at()
	_, err := c.PutObject(t.Context(),
		&s3.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("x"),
			Tagging: aws.String("a=1&b=two%20words")})
	if err != nil {
		t.Fatal(err)
	}
	tags := func() map[string]string {
		out, err := c.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: bucket, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]string{}
		for _, one := range out.TagSet {
			all[*one.Key] = *one.Value
		}
		return all
	}
	if diff := cmp.Diff(map[string]string{"a": "1", "b": "two words"}, tags()); diff != "" {
		t.Error(diff)
	}
	get, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: bucket, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if err := get.Body.Close(); err != nil || aws.ToInt32(get.TagCount) != 2 {
		t.Errorf("%d tags are counted, %v", aws.ToInt32(get.TagCount), err)
	}
	other := &s3types.Tagging{TagSet: []s3types.Tag{{Key: aws.String("c"), Value: aws.String("3")}}}
	if _, err := c.PutObjectTagging(t.Context(),
		&s3.PutObjectTaggingInput{Bucket: bucket, Key: key, Tagging: other}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"c": "3"}, tags()); diff != "" {
		t.Error(diff)
	}
	if _, err := c.DeleteObjectTagging(t.Context(),
		&s3.DeleteObjectTaggingInput{Bucket: bucket, Key: key}); err != nil {
		t.Fatal(err)
	}
	if got := tags(); len(got) > 0 {
		t.Errorf("deleted tags: %v", got)
	}
}
