// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// TestAWSCLI launches a real machine and makes an image of it with awscli, unmodified. internal/lab tests with awscli
// what needs no machine: what the lab refuses, S3 and SSM.
func TestAWSCLI(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	machineSlots.acquire(t)
	userData := filepath.Join(t.TempDir(), "user-data")
	script := "#!/bin/sh\nprintf '\\r\\nbaked by hand\\r\\n' >/dev/console\ntouch /by-hand\npoweroff\n"
	if err := os.WriteFile(userData, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	var instance string
	l.aws(t, &instance, "ec2", "run-instances", "--image-id", l.values["BAKERY_LAB_AMI"], "--instance-type", "t3.nano",
		"--user-data", "file://"+userData, "--instance-initiated-shutdown-behavior", "stop",
		"--tag-specifications", "ResourceType=instance,Tags=[{Key=Name,Value=by-hand}]", "--query",
		"Instances[0].InstanceId")
	defer l.aws(t, nil, "ec2", "terminate-instances", "--instance-ids", instance)
	// "aws ec2 wait" polls every 15 seconds, and "aws ec2 wait instance-stopped" gives up when it sees pending first.
	l.mustWaitFor(t, instance, "stopped")
	l.aws(t, nil, "ec2", "wait", "instance-stopped", "--instance-ids", instance)

	var reason, console, image string
	l.aws(t, &reason, "ec2", "describe-instances", "--filters", "Name=tag:Name,Values=by-hand", "--query",
		"Reservations[0].Instances[0].StateReason.Code")
	if reason != cloud.ReasonGuest.Code {
		t.Errorf("the machine stopped because of %s", reason)
	}
	l.aws(t, &console, "ec2", "get-console-output", "--instance-id", instance, "--query", "Output")
	if !strings.Contains(plain(console), "baked by hand") {
		t.Errorf("the console says %q", console)
	}
	name := testName(t)
	l.aws(t, &image, "ec2", "create-image", "--instance-id", instance, "--name", name, "--query", "ImageId")
	l.mustWaitFor(t, image, "available")
	l.aws(t, nil, "ec2", "wait", "image-available", "--image-ids", image)
	var got []string
	l.aws(t, &got, "ec2", "describe-images", "--owners", "self", "--filters", "Name=name,Values=TestAWSCLI-*",
		"--query", "Images[].ImageId")
	if len(got) != 1 || got[0] != image {
		t.Errorf("describe-images found %v, not %s", got, image)
	}
	if list := l.cli(t, "ls", image, "/"); !strings.Contains(list, "by-hand") {
		t.Errorf("the image lacks what its machine made:\n%s", list)
	}
}

// plain decodes console output where awscli did not: versions differ in that.
func plain(output string) string {
	if text, err := base64.StdEncoding.DecodeString(output); err == nil {
		return string(text)
	}
	return output
}
