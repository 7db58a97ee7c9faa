// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

func TestDisksOutliveTheMachinesOfTheImageUnlessTheTemplateSaysOtherwise(t *testing.T) {
	c := Config{
		RunConfig: RunConfig{LaunchBlockDevices: []BlockDevice{
			{DeviceName: "/dev/xvda"}, {DeviceName: "/dev/sdb", DeleteOnTermination: config.TriTrue},
			{DeviceName: "/dev/sdc", DeleteOnTermination: config.TriFalse}, {DeviceName: "/dev/sdd", NoDevice: true},
			{DeviceName: "/dev/sde", VirtualName: "ephemeral0"}, {DeviceName: "/dev/sdf"},
		}},
		ImageConfig: ImageConfig{AMIBlockDevices: []BlockDevice{{DeviceName: "/dev/sdf", DeleteOnTermination: config.TriTrue}}},
	}
	var got []string
	for _, m := range c.outlivingDisks() {
		if aws.ToBool(m.Ebs.DeleteOnTermination) {
			t.Errorf("%s goes with its machine", *m.DeviceName)
		}
		got = append(got, *m.DeviceName)
	}
	if diff := cmp.Diff([]string{"/dev/xvda"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if !aws.ToBool(c.LaunchBlockDevices[0].mapping().Ebs.DeleteOnTermination) {
		t.Error("the bake leaves a volume behind")
	}
}
