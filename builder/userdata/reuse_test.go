// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"io"
	"reflect"
	"slices"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/instance"
	"github.com/amibakery/packer-plugin-bakery/internal/reuse"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// machineOnlySettings are those of RunConfig and WatchConfig that make no difference to the image.
var machineOnlySettings = []string{
	"instance_type", "key_name", "run_volume_tags", "run_volume_tag", "metadata_options", "ebs_optimized",
	"enable_unlimited_credits", "enable_t2_unlimited", "disable_stop_instance", "shutdown_behavior",
	"instance_timeout", "instance_poll_interval", "aws_polling",
	"run_tags", "run_tag", // compared as the image's
}

// A new setting is compared, or listed above on purpose.
func TestEveryMachineSettingIsComparedOrListed(t *testing.T) {
	c := &Config{
		RunConfig: instance.RunConfig{LaunchBlockDevices: []blockDevice{{DeviceName: "/dev/xvda"}}},
		WatchConfig: instance.WatchConfig{Verdict: setting.VerdictStop, SkipCleanup: []string{"logs"},
			IgnoreFailures: []string{"bootcmd"}, WipeFreeSpace: true},
	}
	options, err := inputOptions(newBuild(c, userInterface(io.Discard)))
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range []any{instance.RunConfig{}, instance.WatchConfig{}} {
		for f := range reflect.TypeOf(group).Fields() {
			name, ok := f.Tag.Lookup("mapstructure")
			if ok && (options[name] != "") == slices.Contains(machineOnlySettings, name) {
				t.Errorf("%s: compared is %v", name, options[name] != "")
			}
		}
	}
}

func TestUserDataIsComparedWithGuestProgram(t *testing.T) {
	of := func(document string) string {
		return (&payload{document: []byte(document), userDataSHA256: reuse.SHA256("same")}).inputDigest()
	}
	if of("program 1") == of("program 2") {
		t.Error("the guest program makes no difference to the digest")
	}
	if got := (&payload{verbatim: []byte("x"),
		userDataSHA256: reuse.SHA256("x")}).inputDigest(); got != reuse.SHA256("x") {
		t.Errorf("user data without a guest program has the digest %s", got)
	}
}
