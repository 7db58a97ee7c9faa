// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"testing"
	"testing/synctest"
	"time"

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

func TestAnImageIsLookedAtInProportionToTheTimeItTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		next, began := share(time.Now(), thirtieth, 5*time.Second), time.Now()
		for _, want := range []struct{ after, interval time.Duration }{
			{0, time.Second}, {30 * time.Second, time.Second}, {time.Minute, 2 * time.Second},
			{150 * time.Second, 5 * time.Second}, {time.Hour, 5 * time.Second},
		} {
			time.Sleep(want.after - time.Since(began))
			if got := next(); got != want.interval {
				t.Errorf("after %s it is %s, want %s", want.after, got, want.interval)
			}
		}
	})
}
