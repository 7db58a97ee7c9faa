// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// stubPacker writes its arguments to a file, one per line. Variables set its output and exit status.
const stubPacker = `#!/bin/sh
printf '%s\n' "$@" >"$STUB_ARGUMENTS"
[ -z "$STUB_TOUCH" ] || touch "$STUB_TOUCH"
[ -z "$STUB_OUTPUT" ] || echo "$STUB_OUTPUT"
exit "${STUB_CODE:-0}"
`

// jenkins runs a script of example/jenkins with the stub as packer, in a folder with an Image-Source "ami", a bundle
// "out" and a single "opaque/userdata.gz". It returns the result of the script and the arguments of packer, nil when
// packer was not run.
func jenkins(t *testing.T, script string, env []string, arguments ...string) (packertest.Result, []string) {
	t.Helper()

	dir := t.TempDir()
	for name, content := range map[string]string{
		"packer": stubPacker, "out/userdata.gz": "u", "out/vars.env": "", "out/fs.tgz": "f",
		"opaque/userdata.gz": "u", "elsewhere/fs.tgz": "g", "ami/ami.env": "NAME=a",
	} {
		write(t, filepath.Join(dir, name), content, 0o755)
	}
	asked := filepath.Join(dir, "arguments")
	argv := append([]string{filepath.Join(packertest.Root(), "example", "jenkins", script)}, arguments...)
	result := packertest.Run(t, dir, append([]string{
		"PATH=/usr/bin:/bin", "PACKER=" + filepath.Join(dir, "packer"), "STUB_ARGUMENTS=" + asked,
	}, env...), argv...)

	content, err := os.ReadFile(asked)
	if err != nil {
		return result, nil
	}
	return result, strings.Split(strings.TrimSpace(string(content)), "\n")
}

// variables returns the values of the -var arguments, by name.
func variables(arguments []string) map[string]string {
	vars := map[string]string{}
	for i := 1; i < len(arguments); i++ {
		if arguments[i-1] == "-var" {
			name, value, _ := strings.Cut(arguments[i], "=")
			vars[name] = value
		}
	}
	return vars
}

// required returns the environment that build-ami.sh requires, and more.
func required(more ...string) []string {
	return append([]string{
		"BUILDAMI_BASEAMI=ami-086063d8c95bfa211", "BUILDAMI_SECURITYGROUPS=sg-1",
		"BUILDAMI_SUBNET=subnet-1", "BUILDAMI_PROFILE=AutoTest-CreateAMI",
	}, more...)
}

func TestBuildAMIExitCodes(t *testing.T) {
	full := []string{"out/userdata.gz", "hello", "1.0"}
	staged := []string{"BUILDAMI_S3URL=s3://b/p/fs.tgz", "BUILDAMI_S3REGION=eu-west-1", "BUILDAMI_FSTGZ=out/fs.tgz"}
	tests := map[string]struct {
		env       []string
		arguments []string
		code      int
		says      string
	}{
		"everything is there": {required(), full, 0, ""},
		"arguments from variables": {
			required("BUILDAMI_USERDATA=out/userdata.gz", "BUILDAMI_TARGETNAME=a", "BUILDAMI_TARGETVERSION=1"), nil, 0,
			"",
		},
		"the tarball to upload is the bundle's": {required(staged...), full, 0, ""},
		"no arguments":                          {required(), nil, 1, "BUILDAMI_USERDATA"},
		"no name":                               {required(), full[:1], 1, "BUILDAMI_TARGETNAME"},
		"no version":                            {required(), full[:2], 1, "BUILDAMI_TARGETVERSION"},
		"too many arguments":                    {required(), append(full, "x"), 1, "usage"},
		"no base image":                         {required("BUILDAMI_BASEAMI="), full, 1, "BUILDAMI_BASEAMI"},
		"no security group": {required("BUILDAMI_SECURITYGROUPS="), full, 1,
			"BUILDAMI_SECURITYGROUPS"},
		"no subnet":                 {required("BUILDAMI_SUBNET="), full, 1, "BUILDAMI_SUBNET"},
		"no profile is fine":        {required("BUILDAMI_PROFILE="), full, 0, ""},
		"a URL without the tarball": {required(staged[:2]...), full, 1, "BUILDAMI_FSTGZ"},
		"a URL without its region":  {required(staged[0], staged[2]), full, 1, "BUILDAMI_S3REGION"},
		"a tarball without its URL": {required(staged[2]), full, 1, "BUILDAMI_S3URL"},
		"an invalid URL": {required(append(staged, "BUILDAMI_S3URL=b/p")...), full, 1,
			"s3://"},
		"user data does not exist": {required(), []string{"no/userdata.gz", "a", "1"}, 2,
			"no/userdata.gz"},
		"the tarball does not exist": {required(append(staged, "BUILDAMI_FSTGZ=no.tgz")...), full, 2,
			"no.tgz"},
		"a tarball without the bundle's vars.env": {required(staged...), []string{"opaque/userdata.gz", "a", "1"}, 2,
			"vars.env"},
		"instance timeout under the minimum": {required("BUILDAMI_TIMEOUT_INSTANCE=119"), full, 3, "between 120"},
		"instance timeout at the minimum":    {required("BUILDAMI_TIMEOUT_INSTANCE=120"), full, 0, ""},
		"image timeout under the minimum": {required("BUILDAMI_TIMEOUT_AMI=60"), full, 3,
			"BUILDAMI_TIMEOUT_AMI"},
		"instance interval over the maximum": {required("BUILDAMI_WAIT_INSTANCE=61"), full, 3,
			"BUILDAMI_WAIT_INSTANCE"},
		"image interval over the maximum":         {required("BUILDAMI_WAIT_AMI=61"), full, 3, "BUILDAMI_WAIT_AMI"},
		"image interval at the maximum":           {required("BUILDAMI_WAIT_AMI=60"), full, 0, ""},
		"a timeout that is no number":             {required("BUILDAMI_TIMEOUT_AMI=5m"), full, 3, "5m"},
		"a number with a leading zero is decimal": {required("BUILDAMI_TIMEOUT_AMI=0130"), full, 0, ""},
		"packer fails while the machine installs": {required("STUB_CODE=1", "STUB_OUTPUT=Build errored: install.sh"),
			full, 3, "install.sh"},
		"packer reports that the machine is late": {required("STUB_CODE=1", "STUB_OUTPUT=within instance_timeout"),
			full, 4, ""},
		"packer reports that the image is late": {required("STUB_CODE=1", "STUB_OUTPUT=within image_timeout"), full,
			5, ""},
		"packer succeeds and only names a timeout": {required("STUB_OUTPUT=instance_timeout is 300s"), full, 0, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			result, asked := jenkins(t, "build-ami.sh", test.env, test.arguments...)
			if result.Code != test.code || !strings.Contains(result.Output, test.says) {
				t.Errorf("exit code %d, want %d; output should contain %q:\n%s", result.Code, test.code, test.says,
					result.Output)
			}
			if (test.code == 1 || test.code == 2) && asked != nil {
				t.Errorf("packer was run all the same: %q", asked)
			}
		})
	}
}

func TestBuildAMIPassesTheDefaultsOfTheOriginalScript(t *testing.T) {
	result, asked := jenkins(t, "build-ami.sh", required(), "out/userdata.gz", "Hello World", "1.2.3")
	if result.Code != 0 {
		t.Fatalf("exit code %d\n%s", result.Code, result.Output)
	}
	want := map[string]string{
		"bundle":                 "out",
		"source_ami":             "ami-086063d8c95bfa211",
		"security_group_ids":     `["sg-1"]`,
		"subnet_id":              "subnet-1",
		"iam_instance_profile":   "AutoTest-CreateAMI",
		"ami_name":               "Hello-World-1.2.3",
		"image_version":          "1.2.3",
		"ami_description":        "Hello World 1.2.3",
		"instance_type":          "t3.nano",
		"key_name":               "",
		"output_file":            "",
		"instance_timeout":       "300s",
		"image_timeout":          "300s",
		"instance_poll_interval": "5s",
		"image_poll_interval":    "5s",
		"staging_url":            "",
		"staging_region":         "",
	}
	if diff := cmp.Diff(want, variables(asked)); diff != "" {
		t.Errorf("variables (-want +got):\n%s", diff)
	}
}

func TestBuildAMIPassesEverySetting(t *testing.T) {
	env := required("BUILDAMI_SECURITYGROUPS=sg-1 sg-2,sg-3", "BUILDAMI_TYPE=m7i.large",
		"BUILDAMI_TARGETDESCRIPTION=what it is",
		"BUILDAMI_KEYPAIR=me", "BUILDAMI_OUTPUT=out.env", "BUILDAMI_TIMEOUT_INSTANCE=600", "BUILDAMI_TIMEOUT_AMI=900",
		"BUILDAMI_WAIT_INSTANCE=10", "BUILDAMI_WAIT_AMI=20", "BUILDAMI_S3URL=s3://bucket/a/b/fs.tgz",
		"BUILDAMI_S3REGION=eu-west-1", "BUILDAMI_FSTGZ=out/fs.tgz")
	_, asked := jenkins(t, "build-ami.sh", env, "out/userdata.gz", "n", "1")
	got := variables(asked)
	for name, want := range map[string]string{
		"security_group_ids": `["sg-1","sg-2","sg-3"]`, "instance_type": "m7i.large", "ami_description": "what it is",
		"key_name": "me", "output_file": "out.env", "instance_timeout": "600s", "image_timeout": "900s",
		"instance_poll_interval": "10s", "image_poll_interval": "20s",
		"staging_url": "s3://bucket/a/b", "staging_region": "eu-west-1", "bundle": "out",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
}

func TestBuildAMIDistinguishesABundleFromOtherUserData(t *testing.T) {
	_, asked := jenkins(t, "build-ami.sh", required(), "opaque/userdata.gz", "n", "1")
	if got := variables(asked); got["user_data_file"] != "opaque/userdata.gz" || got["bundle"] != "" {
		t.Errorf("without vars.env beside it, user data is asked for as %q", got)
	}
	_, asked = jenkins(t, "build-ami.sh", required("BUILDAMI_S3URL=s3://b/fs.tgz", "BUILDAMI_S3REGION=r",
		"BUILDAMI_FSTGZ=elsewhere/fs.tgz"), "out/userdata.gz", "n", "1")
	if got := variables(asked); got["bundle"] == "" || got["bundle"] == "out" || got["staging_url"] != "s3://b" {
		t.Errorf("a tarball from elsewhere should make a bundle of its own: %q", got)
	}
}

func TestBuildCreateImageUserdata(t *testing.T) {
	tests := map[string]struct {
		env       []string
		arguments []string
		code      int
		says      string
	}{
		"source and target":                {nil, []string{"ami", "new"}, 0, ""},
		"no arguments":                     {nil, nil, 1, "usage"},
		"only a source":                    {nil, []string{"ami"}, 1, "usage"},
		"a source that does not exist":     {nil, []string{"no", "new"}, 2, "no"},
		"an invalid URL":                   {[]string{"S3URL=bucket/fs.tgz"}, []string{"ami", "new"}, 1, "S3URL"},
		"a tarball is left and no URL set": {[]string{"STUB_TOUCH=out/fs.tgz"}, []string{"ami", "out"}, 3, "S3URL"},
		"a tarball is left and a URL set":  {[]string{"S3URL=s3://b/fs.tgz"}, []string{"ami", "out"}, 0, ""},
		"compile.sh fails": {
			[]string{"STUB_CODE=1", "STUB_OUTPUT=run script/compile.sh: exit status 7"}, []string{"ami", "new"}, 4,
			"exit status 7",
		},
		"the Image-Source has a mistake": {[]string{"STUB_CODE=1", "STUB_OUTPUT=cloudinit/1.cfg:1:1: x"},
			[]string{"ami", "new"}, 1, "1.cfg:1:1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			result, asked := jenkins(t, "build-create-image-userdata.sh", test.env, test.arguments...)
			if result.Code != test.code || !strings.Contains(result.Output, test.says) {
				t.Errorf("exit code %d, want %d; output should contain %q:\n%s", result.Code, test.code, test.says,
					result.Output)
			}
			if test.code == 2 && asked != nil {
				t.Errorf("packer was run all the same: %q", asked)
			}
		})
	}

	for region, want := range map[string]string{"": "ap-northeast-1", "eu-west-1": "eu-west-1"} {
		_, asked := jenkins(t, "build-create-image-userdata.sh", []string{"AWSREGION=" + region, "S3URL=s3://b/fs.tgz"},
			"ami", "new")
		got := variables(asked)
		if fmt.Sprint(got["region"], got["s3_url"], got["source"], got["target"]) !=
			fmt.Sprint(want, "s3://b/fs.tgz", "ami", "new") {
			t.Errorf("with AWSREGION=%q, packer is asked for %q", region, got)
		}
	}
}

// write writes a file and the folders above it.
func write(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()

	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}
