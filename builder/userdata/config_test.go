// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
)

// smallTemplate returns the settings of the smallest template.
func smallTemplate() map[string]any {
	return map[string]any{
		"ami_name": "hello-1", "source_ami": awsfake.SourceImageID, "user_data": "#!/bin/sh\ntrue\n",
	}
}

// templateWith returns the smallest template with more settings.
func templateWith(settings map[string]any) map[string]any {
	all := smallTemplate()
	maps.Copy(all, settings)
	return all
}

func TestPrepareFillsInDefaults(t *testing.T) {
	var b Builder
	if _, _, err := b.Prepare(smallTemplate()); err != nil {
		t.Fatal(err)
	}
	c := &b.config
	for name, pair := range map[string][2]any{
		"instance_type":          {c.InstanceType, "t3.nano"},
		"instance_timeout":       {c.InstanceTimeout, 30 * time.Minute},
		"image_timeout":          {c.ImageTimeout, 30 * time.Minute},
		"instance_poll_interval": {c.InstancePollInterval, 5 * time.Second},
		"image_poll_interval":    {c.ImagePollInterval, 5 * time.Second},
		"verdict":                {c.Verdict, "report"},
		"http_tokens":            {c.Metadata.HTTPTokens, "required"},
		"http_endpoint":          {c.Metadata.HTTPEndpoint, "enabled"},
		"max_retries":            {c.MaxRetries, 10},
		"communicator":           {c.Comm.Type, "none"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s is %v by default, want %v", name, pair[0], pair[1])
		}
	}
}

// stagingBlock returns a staging block with more settings, given as names and values.
func stagingBlock(more ...string) map[string]any {
	block := map[string]any{"url": "s3://" + awsfake.Bucket}
	for i := 0; i < len(more); i += 2 {
		block[more[i]] = more[i+1]
	}
	return block
}

func TestStagingOwnerAndEncryption(t *testing.T) {
	for name, c := range map[string]struct {
		block             map[string]any
		owner, encryption string
	}{
		"the defaults":      {stagingBlock(), "123456789012", ""},
		"another account":   {stagingBlock("expected_bucket_owner", "999999999999"), "999999999999", ""},
		"any account":       {stagingBlock("expected_bucket_owner", "any"), "", ""},
		"a key implies KMS": {stagingBlock("kms_key_id", "alias/x"), "123456789012", "aws:kms"},
		"two layers": {
			stagingBlock("kms_key_id", "alias/x", "server_side_encryption", "aws:kms:dsse"), "123456789012",
			"aws:kms:dsse",
		},
		"unknown values": {
			stagingBlock("kms_key_id", "<unknown>", "expected_bucket_owner", "<unknown>"), "<unknown>", "aws:kms",
		},
	} {
		var b Builder
		settings := smallTemplate()
		settings["staging"] = c.block
		if _, _, err := b.Prepare(settings); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if s := b.config.Staging; s.owner("123456789012") != c.owner || s.ServerSideEncryption != c.encryption {
			t.Errorf("%s: the owner is %q and the encryption %q", name, s.owner("123456789012"), s.ServerSideEncryption)
		}
	}
}

func TestPrepareRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		settings map[string]any
		want     string
	}{
		"no name":            {map[string]any{"ami_name": ""}, "ami_name is needed"},
		"a short name":       {map[string]any{"ami_name": "ab"}, "3 to 128"},
		"a long name":        {map[string]any{"ami_name": strings.Repeat("a", 129)}, "3 to 128"},
		"a name EC2 refuses": {map[string]any{"ami_name": "a:b:c"}, "clean_resource_name"},
		"compile settings without an Image-Source": {map[string]any{"strict": true}, "compile_env and strict"},
		"user data and a bundle":                   {map[string]any{"bundle": "x"}, "exclude each other"},
		"a bundle that is not there": {
			map[string]any{"user_data": "", "bundle": "testdata/nothing"}, "bundle",
		},
		"a file that is not there": {
			map[string]any{"user_data": "", "user_data_file": "testdata/nothing"}, "user_data_file",
		},
		"a directory as a file": {
			map[string]any{"user_data": "", "user_data_file": "testdata"}, "is not a file",
		},
		"user data of an unknown kind": {
			map[string]any{"user_data": "nothing cloud-init knows"}, "user_data",
		},
		"strict without an Image-Source":   {map[string]any{"strict": true}, "image_source"},
		"an inline limit above EC2's":      {map[string]any{"fs_inline_limit": 20000}, "fs_inline_limit"},
		"a live log by another means":      {map[string]any{"live_log": "ssh"}, "live_log"},
		"a live log by S3 without staging": {map[string]any{"live_log": "s3"}, "needs staging"},
		"a live log with verdict stop": {
			map[string]any{"live_log": "console", "verdict": "stop"}, "live_log has no effect",
		},
		"one file for log and output": {
			map[string]any{"log_file": "x", "output_file": "x"}, "log_file and output_file",
		},
		"no source": {map[string]any{"source_ami": ""}, "source_ami_filter is needed"},
		"two sources": {
			map[string]any{
				"source_ami": "debian-12-*", "source_ami_filter": map[string]any{"owners": []string{"self"}},
			},
			"must be an id",
		},
		"a filter without owners": {
			map[string]any{
				"source_ami": "", "source_ami_filter": map[string]any{"filters": map[string]any{"name": "x"}},
			},
			"owners",
		},
		"a malformed image id":            {map[string]any{"source_ami": "ami-xyz"}, "not an image id"},
		"an SSM parameter without a name": {map[string]any{"source_ami": "resolve:ssm:"}, "SSM parameter"},
		"one security group and a list": {
			map[string]any{"security_group_id": "sg-1", "security_group_ids": []string{"sg-2"}},
			"security_group_ids exclude",
		},
		"a prefix that leaves no room for the bake's keys": {
			map[string]any{"staging": map[string]any{"url": "s3://bucket/" + strings.Repeat("a", 953)}},
			"the prefix has 953 bytes; it must have at most 952: S3 takes keys of 1024, and the bake adds up to 72",
		},
		"a malformed bucket owner": {
			map[string]any{"staging": stagingBlock("expected_bucket_owner", "me")}, "12 digits",
		},
		"an unknown encryption": {
			map[string]any{"staging": stagingBlock("server_side_encryption", "rot13")}, "server_side_encryption",
		},
		"a KMS key with AES256": {
			map[string]any{"staging": stagingBlock("kms_key_id", "k", "server_side_encryption", "AES256")},
			"kms_key_id has no place",
		},
		"a key with a line break": {
			map[string]any{"staging": stagingBlock("kms_key_id", "k\nurl = x")}, "no id, ARN or alias",
		},
		"a disabled metadata service": {
			map[string]any{"metadata_options": map[string]any{"http_endpoint": "disabled"}}, "cloud-init reads",
		},
		"too many hops": {
			map[string]any{"metadata_options": map[string]any{"http_put_response_hop_limit": 65}}, "between 1 and 64",
		},
		"an unknown value of http_tokens": {
			map[string]any{"metadata_options": map[string]any{"http_tokens": "maybe"}}, "http_tokens",
		},
		"a disk without a name": {
			map[string]any{"launch_block_device_mappings": []any{map[string]any{"volume_size": 8}}},
			"launch_block_device_mappings[0]: device_name",
		},
		"a key for an unencrypted disk": {
			map[string]any{
				"launch_block_device_mappings": []any{
					map[string]any{"device_name": "/dev/xvda", "kms_key_id": "k", "encrypted": false},
				},
			},
			"encrypted",
		},
		"throughput without gp3": {
			map[string]any{
				"launch_block_device_mappings": []any{map[string]any{"device_name": "/dev/xvda", "throughput": 200}},
			},
			"throughput",
		},
		"a malformed virtual name": {
			map[string]any{
				"launch_block_device_mappings": []any{map[string]any{"device_name": "/dev/sdb", "virtual_name": "x"}},
			},
			"virtual_name",
		},
		"a size with no_device": {
			map[string]any{
				"launch_block_device_mappings": []any{
					map[string]any{"device_name": "/dev/sdb", "no_device": true, "volume_size": 8},
				},
			},
			"no_device",
		},
		"a short instance timeout":      {map[string]any{"instance_timeout": "119s"}, "at least 120s"},
		"a short image timeout":         {map[string]any{"image_timeout": "1m"}, "at least 120s"},
		"a long instance poll interval": {map[string]any{"instance_poll_interval": "61s"}, "at most 60s"},
		"a long image poll interval":    {map[string]any{"image_poll_interval": "2m"}, "at most 60s"},
		"a short image poll interval":   {map[string]any{"image_poll_interval": "10ms"}, "at least 1s"},
		"an unknown verdict":            {map[string]any{"verdict": "maybe"}, "verdict"},
		"skip_cleanup with verdict stop": {
			map[string]any{"verdict": "stop", "skip_cleanup": []string{"ssh_files"}}, "skip_cleanup has no effect",
		},
		"wipe_free_space with verdict stop": {
			map[string]any{"verdict": "stop", "wipe_free_space": true}, "wipe_free_space has no effect",
		},
		"ignore_failures with verdict stop": {
			map[string]any{"verdict": "stop", "ignore_failures": []string{"bootcmd"}}, "ignore_failures has no effect",
		},
		"an unknown failure to ignore": {map[string]any{"ignore_failures": []string{"bootcmds"}},
			`did you mean "bootcmd"`},
		"an unknown section of the clean-up": {map[string]any{"skip_cleanup": []string{"all"}}, "ssh_files"},
		"a bundle with verdict stop": {
			map[string]any{"user_data": "", "bundle": "<unknown>", "verdict": "stop"}, "reports by itself",
		},
		"staging without a url": {
			map[string]any{"staging": map[string]any{"region": "x"}}, "url is needed",
		},
		"staging outside S3": {
			map[string]any{"staging": map[string]any{"url": "https://x"}}, "s3://bucket/prefix",
		},
		"delivery by a profile without one": {
			map[string]any{"staging": map[string]any{"url": "s3://bucket", "delivery": "profile"}},
			"iam_instance_profile",
		},
		"an unknown delivery": {
			map[string]any{"staging": map[string]any{"url": "s3://bucket", "delivery": "pigeon"}}, "delivery",
		},
		"winrm": {
			map[string]any{"communicator": "winrm"},
			"bakes Linux through cloud-init: keep amazon-ebs for Windows, in a separate source",
		},
		"another communicator":           {map[string]any{"communicator": "docker"}, "connects to nothing"},
		"a malformed user name":          {map[string]any{"run_as": "a b"}, "run_as: \"a b\" is no user name"},
		"a malformed ssh_username":       {map[string]any{"ssh_username": "$(id)"}, "ssh_username"},
		"an access key without a secret": {map[string]any{"access_key": "x"}, "belong together"},
		"a tag with a key of AWS":        {map[string]any{"tags": map[string]any{"aws:x": "y"}}, "aws:"},
		"a long tag value": {
			map[string]any{"tags": map[string]any{"x": strings.Repeat("y", 257)}}, "256",
		},
		"a malformed template": {map[string]any{"ami_description": "{{ .SourceAMI "}, "ami_description"},
		"an unknown setting":   {map[string]any{"aminame": "x"}, "aminame"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := new(Builder).Prepare(templateWith(c.settings))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestPrepareAccepts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "user-data")
	if err := os.WriteFile(file, []byte("#cloud-config\nruncmd: [ 'true' ]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, settings := range map[string]map[string]any{
		"user data of an unknown kind with verdict stop": {"user_data": "nothing cloud-init knows", "verdict": "stop"},
		"user data that Packer renders":                  {"user_data": "#!/bin/sh\necho {{isotime}}\n"},
		"a file of user data":                            {"user_data": "", "user_data_file": file},
		"a name with a template function":                {"ami_name": "hello {{ clean_resource_name `1:2` }}"},
		"tags with build data": {
			"tags": map[string]any{"from": "{{ .SourceAMI }}"}, "ami_description": "of {{ .SourceAMIName }}",
		},
		"an SSM parameter": {
			"source_ami": "resolve:ssm:/aws/service/debian/release/12/latest/amd64",
		},
		"a name of an image": {"source_ami": "debian-12-*"},
		"a filter": {
			"source_ami": "", "source_ami_filter": map[string]any{"owners": []string{"amazon"}, "most_recent": true},
		},
		"a disk": {
			"launch_block_device_mappings": []any{
				map[string]any{
					"device_name": "/dev/xvda", "volume_size": 20, "volume_type": "gp3", "iops": 3000,
					"throughput": 125,
				},
			},
		},
		"staging":            {"staging": map[string]any{"url": "s3://bucket/prefix/"}},
		"provisioners alone": {"user_data": "", "fs_inline_limit": 100},
	} {
		t.Run(name, func(t *testing.T) {
			if _, warnings, err := new(Builder).Prepare(templateWith(settings)); err != nil || len(warnings) > 0 {
				t.Errorf("error %v, warnings %q", err, warnings)
			}
		})
	}
}

func TestUserDataIsRenderedUnlessItIsJinja(t *testing.T) {
	const script = "#!/bin/sh\necho {{user `x`}}\n"
	const jinja = "## template: jinja\n#cloud-config\nruncmd: [ 'echo {{ v1.region }}' ]\n"
	for given, want := range map[string]string{script: "#!/bin/sh\necho y\n", jinja: jinja} {
		var b Builder
		settings := templateWith(map[string]any{
			"user_data": given, "packer_user_variables": map[string]string{"x": "y"},
		})
		if _, _, err := b.Prepare(settings); err != nil {
			t.Fatal(err)
		}
		if b.config.UserData != want {
			t.Errorf("the user data is %q, want %q", b.config.UserData, want)
		}
	}
	for _, braces := range []string{"{{ v1.region }}", "{{.Names}}"} { // of jinja, and of docker
		_, _, err := new(Builder).Prepare(templateWith(map[string]any{"user_data": "#!/bin/sh\necho " + braces + "\n"}))
		if err == nil || !strings.Contains(err.Error(), "user_data_file") {
			t.Errorf("with %s, the error is %v", braces, err)
		}
	}
}

func TestPrepareReportsAllProblemsAtOnce(t *testing.T) {
	_, _, err := new(Builder).Prepare(map[string]any{
		"ami_name": "a", "instance_timeout": "1s", "image_timeout": "1s", "verdict": "x", "communicator": "winrm",
		"access_key": "x", "staging": map[string]any{"url": "x"},
		"metadata_options": map[string]any{"http_tokens": "x"},
	})
	if err == nil {
		t.Fatal("the settings were accepted")
	}
	for _, want := range []string{
		"ami_name", "instance_timeout", "image_timeout", "verdict", "winrm", "access_key", "staging", "http_tokens",
		"source_ami",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}

// The results of data sources are not known while a template is validated.
func TestPrepareAcceptsUnknownValues(t *testing.T) {
	const unknown = "<unknown>"
	for _, one := range []map[string]any{
		{"user_data": unknown},
		{"user_data": "", "user_data_file": unknown},
		{"user_data": "", "bundle": unknown},
		{"user_data": "", "image_source": unknown},
		{"source_ami": unknown},
		{"source_ami": "", "source_ami_filter": map[string]any{
			"owners": []string{unknown}, "filters": map[string]any{"name": unknown},
		}},
	} {
		settings := templateWith(map[string]any{
			"ami_name": unknown, "ami_description": unknown, "image_version": unknown, "instance_type": unknown,
			"instance_timeout": unknown, "image_timeout": unknown, "instance_poll_interval": unknown,
			"image_poll_interval": unknown, "verdict": unknown, "skip_cleanup": []string{unknown}, "subnet_id": unknown,
			"ignore_failures":    []string{unknown, "boothooks"},
			"security_group_ids": []string{unknown}, "metadata_options": map[string]any{"http_tokens": unknown},
			"region": unknown, "output_file": unknown, "tags": map[string]any{unknown: unknown},
			"staging": map[string]any{"url": unknown, "delivery": unknown, "region": unknown},
			"launch_block_device_mappings": []any{
				map[string]any{"device_name": unknown, "volume_type": unknown, "iops": 3000, "virtual_name": unknown},
			},
			"access_key": unknown, "secret_key": unknown, "token": unknown,
			"assume_role": map[string]any{"role_arn": unknown},
		})
		maps.Copy(settings, one)
		if _, warnings, err := new(Builder).Prepare(settings); err != nil || len(warnings) > 0 {
			t.Errorf("%v: error %v, warnings %q", one, err, warnings)
		}
	}
}

func TestPrepareWarnsOnceOfSettingsForSSH(t *testing.T) {
	for name, c := range map[string]struct {
		settings map[string]any
		want     []string
	}{
		"no such settings": {nil, nil},
		"communicator none": {map[string]any{"communicator": "none"}, []string{
			"this builder connects to nothing, without communicator = \"none\" too: leave it out. Provisioners run " +
				"before the machine is launched. A shell-local that works on the running machine, by Session Manager " +
				"for example, finds none: use shell and file blocks, which the machine runs",
		}},
		"several": {
			map[string]any{
				"communicator": "ssh", "ssh_username": "admin", "ssh_timeout": "5m",
				"temporary_key_pair_type": "ed25519",
			},
			[]string{"this builder connects to nothing, so these settings have no effect: " +
				"communicator, ssh_timeout, temporary_key_pair_type. The machine gets its provisioners in its " +
				"user data, which run there as admin; there is no key pair, and nothing may connect to it"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, warnings, err := new(Builder).Prepare(templateWith(c.settings))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, warnings); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPrepareChecksUserData(t *testing.T) {
	const bad = "#cloud-config\npackages:\n  - curl\n - jq\n"
	file := filepath.Join(t.TempDir(), "user-data.yml")
	if err := os.WriteFile(file, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		settings map[string]any
		errors   []string // none: it is accepted
		warning  string
	}{
		"a file": {map[string]any{"user_data": "", "user_data_file": file}, []string{file + ":4:2: "}, ""},
		"a text with several mistakes": {
			map[string]any{"user_data": "#cloud-config\nrun_cmd: [a]\nhostname: 5\n"},
			[]string{"user_data:2:1: unknown key", "user_data:3:11: hostname", "verdict = \"stop\""}, "",
		},
		"a mistake, launched as it is": {map[string]any{"user_data": bad, "verdict": "stop"}, nil, ""},
		"a template of jinja": {
			map[string]any{"user_data": "## template: jinja\n#cloud-config\nruncmd: [ 'echo {{ v1.region }}' ]\n"}, nil,
			"user_data:1: warning: a jinja template is rendered on the machine",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, warnings, err := new(Builder).Prepare(templateWith(c.settings))
			if (err != nil) != (c.errors != nil) {
				t.Fatalf("error: %v", err)
			}
			for _, want := range c.errors {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			if !strings.HasPrefix(strings.Join(warnings, "\n"), c.warning) || c.warning == "" && len(warnings) > 0 {
				t.Errorf("warnings %q", warnings)
			}
		})
	}
}

func TestPrepareReportsAllProblemsOfImageSource(t *testing.T) {
	dir := writeImageSource(t, 10)
	for name, content := range map[string]string{
		"cloudinit/60_a.cfg": "#cloud-config\nruncmd: [ 'true' ]\nruncmd: [ 'false' ]\n",
		"script/install.sh":  "#!/bin/sh\nif true\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := new(Builder).Prepare(templateWith(map[string]any{"user_data": "", "image_source": dir}))
	for _, want := range []string{"cloudinit/60_a.cfg:3:1", "script/install.sh:2"} {
		if err == nil || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

func TestLoginUser(t *testing.T) {
	for name, c := range map[string]struct {
		settings map[string]any
		want     string
	}{
		"no user":                        {nil, "root"},
		"ssh_username":                   {map[string]any{"ssh_username": "ec2-user"}, "ec2-user"},
		"run_as before ssh_username":     {map[string]any{"run_as": "admin", "ssh_username": "ec2-user"}, "admin"},
		"an unknown user":                {map[string]any{"run_as": "<unknown>"}, "<unknown>"},
		"a name with a dot and capitals": {map[string]any{"run_as": "First.Last"}, "First.Last"},
	} {
		t.Run(name, func(t *testing.T) {
			var b Builder
			if _, warnings, err := b.Prepare(templateWith(c.settings)); err != nil || len(warnings) > 0 {
				t.Fatalf("error %v, warnings %q", err, warnings)
			}
			if got := b.config.loginUser(); got != c.want {
				t.Errorf("the login user is %q, want %q", got, c.want)
			}
		})
	}
}
