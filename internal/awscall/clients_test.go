// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awscall_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
)

func TestEveryCallIsBound(t *testing.T) {
	for _, calls := range []any{awscall.BindEC2(ec2.New(ec2.Options{})), awscall.BindIAM(iam.New(iam.Options{}))} {
		v := reflect.ValueOf(calls).Elem()
		for i := range v.NumField() {
			if v.Field(i).IsNil() {
				t.Errorf("%s.%s is not bound", v.Type().Name(), v.Type().Field(i).Name)
			}
		}
	}
}

func TestCallsSayInWordsWhatAWSRefuses(t *testing.T) {
	account := awsfake.New(t)
	account.FailBefore["DescribeVpcs"] = awsfake.Always(403, "UnauthorizedOperation")
	clients := account.Clients()
	_, err := clients.EC2.DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
	if err == nil || !strings.HasPrefix(err.Error(), "EC2 refuses DescribeVpcs: ") ||
		!awscall.HasCode(err, "UnauthorizedOperation") {
		t.Errorf("the error is %v", err)
	}
}

func TestClientsOfAnotherRegion(t *testing.T) {
	account := awsfake.New(t)
	image := account.AddImage("eu-west-1", awsfake.ExistingImageID, "hello")
	clients := account.Clients()
	if clients.EC2In(clients.Region()) != clients.EC2 {
		t.Error("the region of the build has another client")
	}
	for _, region := range []string{"us-east-1", "eu-west-1"} {
		out, err := clients.EC2In(region).DescribeImages(t.Context(), &ec2.DescribeImagesInput{
			Owners: []string{"self"}, Filters: awscall.Filters(map[string]string{"name": image.Name}),
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := region == image.Region; (len(out.Images) == 1) != want {
			t.Errorf("%s has %d images", region, len(out.Images))
		}
	}
}
