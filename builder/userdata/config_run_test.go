// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/instanceprofile"
)

func TestPrepareRefusesMachineSettings(t *testing.T) {
	policy := func(statement map[string]any) map[string]any {
		return map[string]any{instanceprofile.SettingPolicy: map[string]any{"Version": "2012-10-17",
			"Statement": []any{statement}}}
	}
	for name, c := range map[string]struct {
		settings map[string]any
		want     string
	}{
		"one type and a list of types": {
			map[string]any{"instance_type": "t3.small", "spot_instance_types": []string{"t3.small"}},
			"exclude each other",
		},
		"a malformed spot price": {map[string]any{"spot_price": "cheap"}, "spot_price"},
		"an unknown strategy": {
			map[string]any{"spot_price": "auto", "spot_allocation_strategy": "cheapest"}, "spot_allocation_strategy",
		},
		"an unknown fallback": {
			map[string]any{"spot_price": "auto", "spot_fallback": "later"}, "spot_fallback",
		},
		"spot tags without Spot": {
			map[string]any{"spot_tags": map[string]any{"a": "b"}}, "spot_tags and fleet_tags",
		},
		"a fleet_tag block without Spot": {
			map[string]any{"fleet_tag": []any{map[string]any{"key": "a", "value": "b"}}}, "spot_tags and fleet_tags",
		},
		"an unknown shutdown behavior": {map[string]any{"shutdown_behavior": "hibernate"}, "shutdown_behavior"},
		"unlimited credits of a type without": {
			map[string]any{"instance_type": "m5.large", "enable_unlimited_credits": true},
			"m5.large has no CPU credits",
		},
		"unlimited credits of a t2 on Spot": {
			map[string]any{"instance_type": "t2.small", "spot_price": "auto", "enable_unlimited_credits": true},
			"as a Spot Instance",
		},
		"an enclave of a small type": {
			map[string]any{"enable_nitro_enclave": true}, "t3.nano has no Nitro Enclaves",
		},
		"an enclave on Spot": {
			map[string]any{"enable_nitro_enclave": true, "spot_price": "auto", "instance_type": "m5.xlarge"},
			"Spot Instances",
		},
		"tenancy and placement tenancy": {
			map[string]any{"tenancy": "host", "placement": map[string]any{"tenancy": "host"}}, "placement: tenancy",
		},
		"an unknown tenancy": {
			map[string]any{"placement": map[string]any{"tenancy": "mine"}}, "placement: tenancy",
		},
		"a host and a host group": {
			map[string]any{"placement": map[string]any{"host_id": "h-1", "host_resource_group_arn": "arn:x"}},
			"exclude each other",
		},
		"a host with shared tenancy": {
			map[string]any{"placement": map[string]any{"host_id": "h-1", "tenancy": "default"}}, "must be \"host\"",
		},
		"a reservation and a group of them": {
			map[string]any{"capacity_reservation_id": "cr-1", "capacity_reservation_group_arn": "arn:x"},
			"exclude each other",
		},
		"a reservation with preference open": {
			map[string]any{"capacity_reservation_id": "cr-1", "capacity_reservation_preference": "open"},
			"leave it out",
		},
		"an unknown preference": {
			map[string]any{"capacity_reservation_preference": "mine"}, "capacity_reservation_preference",
		},
		"a licence without an ARN": {
			map[string]any{"license_specifications": []any{map[string]any{}}}, "license_configuration_arn",
		},
		"a policy without a statement": {
			map[string]any{instanceprofile.SettingPolicy: map[string]any{"Version": "2012-10-17"}},
			"at least one Statement",
		},
		"a statement without an action": {
			policy(map[string]any{"Effect": "Allow", "Resource": []string{"*"}}), "Action is needed",
		},
		"a statement without a resource": {
			policy(map[string]any{"Effect": "Allow", "Action": []string{"s3:*"}}), "Resource is needed",
		},
		"an unknown effect": {
			policy(map[string]any{"Effect": "Maybe", "Action": []string{"s3:*"}, "Resource": []string{"*"}}),
			"Effect is \"Maybe\"",
		},
		"a filter without a value": {
			map[string]any{"vpc_filter": map[string]any{"filters": map[string]any{"tag:a": ""}}},
			"vpc_filter: filters: tag:a",
		},
		"a filter without a name": {
			map[string]any{"security_group_filter": map[string]any{"filter": []any{map[string]any{"value": "x"}}}},
			"without a name",
		},
		"an image filter without a value": {
			map[string]any{"source_ami": "", "source_ami_filter": map[string]any{
				"owners": []string{"self"}, "filters": map[string]any{"name": ""},
			}},
			"source_ami_filter: filters: name",
		},
		"less than zero attempts": {
			map[string]any{"aws_polling": map[string]any{"max_attempts": -1}}, "aws_polling",
		},
		"a tag block with a key of AWS": {
			map[string]any{"run_tag": []any{map[string]any{"key": "aws:x", "value": "y"}}}, "aws:",
		},
		"a vault and a key": {
			map[string]any{"access_key": "a", "secret_key": "b", "vault_aws_engine": map[string]any{"name": "x"}},
			"exclude each other",
		},
		"a vault without a name": {
			map[string]any{"vault_aws_engine": map[string]any{"engine_name": "aws"}}, "name is missing",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := new(Builder).Prepare(templateWith(c.settings))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want %q in it", err, c.want)
			}
		})
	}
}

func TestPrepareAcceptsSettingsOfAmazonEBS(t *testing.T) {
	for name, settings := range map[string]map[string]any{
		"source_ami and a filter": {
			"source_ami_filter": map[string]any{"owners": []string{"self"}, "filters": map[string]any{"name": "a, b"}},
		},
		"several spot types": {
			"spot_price": "auto", "spot_instance_types": []string{"t3.small", "m5.large"},
			"spot_allocation_strategy": "diversified",
		},
		"a price for one type": {
			"spot_price": "0.05", "instance_type": "t3.small",
			"spot_tag": []any{map[string]any{"key": "a", "value": "{{ .SourceAMI }}"}},
		},
		"no spot price": {"spot_price": "0", "instance_type": "t3.small"},
		"a network by filters": {
			"vpc_filter":                  map[string]any{"filters": map[string]any{"tag:Class": "build"}},
			"associate_public_ip_address": true,
			"subnet_filter": map[string]any{
				"filter": []any{map[string]any{"name": "tag:Class", "value": "build"}}, "random": true,
			},
			"security_group_filter": map[string]any{"filters": map[string]any{"group-name": "a, b"}},
		},
		"a policy": {instanceprofile.SettingPolicy: map[string]any{
			"Statement": []any{map[string]any{"Effect": "Allow", "Action": []string{"s3:*"}, "Resource": "*"}},
		}, "staging": map[string]any{"url": "s3://bucket", "delivery": "profile"}},
		"a dedicated host": {
			"instance_type": "m5.xlarge", "placement": map[string]any{"host_id": "h-1", "tenancy": "host"},
			"enable_nitro_enclave":    true,
			"capacity_reservation_id": "cr-1", "ebs_optimized": true,
			"license_specifications": []any{
				map[string]any{"license_configuration_request": map[string]any{"license_configuration_arn": "arn:x"}},
			},
		},
		"settings of what this builder does anyway": {
			"disable_stop_instance": true, "shutdown_behavior": "stop", "skip_profile_validation": true,
		},
		"a key for a disk": {
			"launch_block_device_mappings": []any{map[string]any{"device_name": "/dev/xvda", "kms_key_id": "alias/x"}},
		},
		"iops of gp2": {
			"launch_block_device_mappings": []any{
				map[string]any{"device_name": "/dev/xvda", "iops": 100, "volume_type": "gp2"},
			},
		},
		"tags as blocks": {
			"run_tag":        []any{map[string]any{"key": "a", "value": "{{ .SourceAMIName }}"}},
			"run_volume_tag": []any{map[string]any{"name": "b", "value": "{{ isotime }}"}},
		},
		"unknown values": {
			"spot_price": "<unknown>", "spot_instance_types": []string{"<unknown>"}, "spot_fallback": "<unknown>",
			"spot_allocation_strategy":        "<unknown>",
			"placement":                       map[string]any{"tenancy": "<unknown>", "host_id": "<unknown>"},
			"capacity_reservation_preference": "<unknown>",
			"subnet_filter":                   map[string]any{"filters": map[string]any{"tag:x": "<unknown>"}},
			"shutdown_behavior":               "<unknown>",
			instanceprofile.SettingPolicy: map[string]any{
				"Statement": []any{
					map[string]any{"Effect": "<unknown>", "Action": "<unknown>", "Resource": "<unknown>"},
				},
			},
			"vault_aws_engine": map[string]any{"name": "<unknown>"}, "mfa_code": "<unknown>",
			"enable_unlimited_credits": true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if _, warnings, err := new(Builder).Prepare(templateWith(settings)); err != nil || len(warnings) > 0 {
				t.Errorf("error %v, warnings %q", err, warnings)
			}
		})
	}
}

func TestPrepareWarnsOfDifferencesFromAmazonEBS(t *testing.T) {
	const ignored = ", so these settings have no effect: "
	for name, c := range map[string]struct {
		settings map[string]any
		want     string
	}{
		"shutdown_behavior terminate": {map[string]any{"shutdown_behavior": "terminate"}, "taken for \"stop\""},
		"enable_t2_unlimited": {
			map[string]any{"instance_type": "t3.small", "enable_t2_unlimited": true}, "enable_unlimited_credits",
		},
		"a profile and a policy": {
			map[string]any{"iam_instance_profile": "x", instanceprofile.SettingPolicy: map[string]any{}},
			"iam_instance_profile is set",
		},
		"settings for Windows": {map[string]any{
			"windows_password_timeout": "5m", "no_ephemeral": true, "winrm_username": "x", "pause_before_ssm": "5s",
			"fast_launch": map[string]any{"enable_fast_launch": true},
		}, "this builder connects to nothing" + ignored + "pause_before_ssm. The machine gets its provisioners in " +
			"its user data, which run there as root; there is no key pair, and nothing may connect to it. This " +
			"builder bakes Linux" + ignored + "fast_launch, no_ephemeral, windows_password_timeout, winrm_username"},
		"settings for SSH": {map[string]any{
			"temporary_security_group_source_cidrs":     []string{"10.0.0.0/8"},
			"temporary_security_group_source_public_ip": true,
			"ssh_interface": "session_manager", "session_manager_port": 2222,
		}, "this builder connects to nothing" + ignored + "session_manager_port, ssh_interface, " +
			"temporary_security_group_source_cidrs, temporary_security_group_source_public_ip. "},
		"settings for Spot": {
			map[string]any{"spot_price_auto_product": "Linux/UNIX", "block_duration_minutes": 60},
			"AWS has ended Spot Instances of a fixed time" + ignored + "block_duration_minutes. " +
				"AWS sets the price of Spot Instances itself" + ignored + "spot_price_auto_product",
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, warnings, err := new(Builder).Prepare(templateWith(c.settings))
			if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], c.want) {
				t.Errorf("error %v, warnings %q, want one with %q", err, warnings, c.want)
			}
		})
	}
}

func TestPollingSettingsOfAmazonEBS(t *testing.T) {
	type times struct{ InstanceEvery, ImageEvery, Instance, Image time.Duration }
	for name, c := range map[string]struct {
		settings map[string]any
		env      map[string]string
		want     times
	}{
		"the defaults": {nil, nil, times{5 * time.Second, 5 * time.Second, 30 * time.Minute, 30 * time.Minute}},
		"aws_polling": {
			map[string]any{"aws_polling": map[string]any{"delay_seconds": 30, "max_attempts": 100}}, nil,
			times{30 * time.Second, 30 * time.Second, 50 * time.Minute, 50 * time.Minute},
		},
		"aws_polling with less time": {
			map[string]any{"aws_polling": map[string]any{"delay_seconds": 10, "max_attempts": 30}}, nil,
			times{10 * time.Second, 10 * time.Second, 30 * time.Minute, 5 * time.Minute},
		},
		"max_attempts alone": {
			map[string]any{"aws_polling": map[string]any{"max_attempts": 240}}, nil,
			times{5 * time.Second, 5 * time.Second, time.Hour, time.Hour},
		},
		"a delay above the limit": {
			map[string]any{"aws_polling": map[string]any{"delay_seconds": 120, "max_attempts": 60}}, nil,
			times{time.Minute, time.Minute, 2 * time.Hour, 2 * time.Hour},
		},
		"this builder's settings before aws_polling": {
			map[string]any{
				"aws_polling":            map[string]any{"delay_seconds": 30, "max_attempts": 100},
				"instance_poll_interval": "7s", "image_timeout": "9m",
			}, nil, times{7 * time.Second, 30 * time.Second, 50 * time.Minute, 9 * time.Minute},
		},
		"the environment": {
			nil, map[string]string{"AWS_POLL_DELAY_SECONDS": "20", "AWS_MAX_ATTEMPTS": "120"},
			times{20 * time.Second, 20 * time.Second, 40 * time.Minute, 40 * time.Minute},
		},
		"AWS_TIMEOUT_SECONDS": {
			nil, map[string]string{"AWS_TIMEOUT_SECONDS": "3600"},
			times{5 * time.Second, 5 * time.Second, time.Hour, time.Hour},
		},
		"AWS_MAX_ATTEMPTS of the SDK": {
			nil, map[string]string{"AWS_MAX_ATTEMPTS": "3"},
			times{5 * time.Second, 5 * time.Second, 30 * time.Minute, 30 * time.Minute},
		},
		"aws_polling before the environment": {
			map[string]any{"aws_polling": map[string]any{"delay_seconds": 30, "max_attempts": 100}},
			map[string]string{"AWS_POLL_DELAY_SECONDS": "20", "AWS_MAX_ATTEMPTS": "1200"},
			times{30 * time.Second, 30 * time.Second, 50 * time.Minute, 50 * time.Minute},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range c.env {
				t.Setenv(key, value)
			}
			var b Builder
			if _, warnings, err := b.Prepare(templateWith(c.settings)); err != nil || len(warnings) > 0 {
				t.Fatalf("error %v, warnings %q", err, warnings)
			}
			set := &b.config
			got := times{set.InstancePollInterval, set.ImagePollInterval, set.InstanceTimeout, set.ImageTimeout}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("times (-want +got):\n%s", diff)
			}
		})
	}
}

// A value that is not known yet may turn out to be empty, and then excludes no other setting.
func TestPrepareAcceptsUnknownValuesThatMayBeEmpty(t *testing.T) {
	const unknown = "<unknown>"
	for name, settings := range map[string]map[string]any{
		"a spot price": {
			"spot_price": unknown, "enable_nitro_enclave": true, "instance_type": "m5.xlarge", "ena_support": true,
			"sriov_support": true,
			"spot_tags":     map[string]any{"a": "b"},
		},
		"a spot price with credits of a t2": {
			"spot_price": unknown, "instance_type": "t2.small", "enable_unlimited_credits": true,
		},
		"an instance type": {"instance_type": unknown, "spot_instance_types": []string{"t3.small"}},
		"a host and a host group": {
			"placement": map[string]any{"host_id": unknown, "host_resource_group_arn": unknown, "tenancy": "default"},
		},
		"a tenancy in placement": {"placement": map[string]any{"tenancy": unknown}, "tenancy": "dedicated"},
		"reservations": {
			"capacity_reservation_id": unknown, "capacity_reservation_group_arn": "arn:x",
		},
		"a preference": {
			"capacity_reservation_id": unknown, "capacity_reservation_preference": "open",
		},
		"security groups": {"security_group_id": unknown, "security_group_ids": []string{"sg-1"}},
		"a key of a disk": {
			"launch_block_device_mappings": []any{
				map[string]any{"device_name": "/dev/xvda", "encrypted": false, "kms_key_id": unknown},
			},
		},
		"a key of an image": {
			"kms_key_id": unknown, "ami_regions": []string{"a"}, "region_kms_key_ids": map[string]any{"a": unknown},
		},
		"a disk of an image": {
			"ami_block_device_mappings": []any{
				map[string]any{
					"device_name": "/dev/xvda", "kms_key_id": unknown, "encrypted": true, "snapshot_id": unknown,
				},
				map[string]any{
					"device_name": "/dev/xvdb", "no_device": true, "volume_type": unknown, "snapshot_id": unknown,
				},
			},
		},
		"a file": {
			"output_file": unknown, "skip_save_build_region": true, "ami_regions": []string{"a"},
		},
		"one of two ways to log in": {
			"access_key": unknown, "vault_aws_engine": map[string]any{"name": "x"}, "token": unknown,
		},
		"a token":              {"token": unknown},
		"an enclave of a trn1": {"instance_type": "trn1.2xlarge", "enable_nitro_enclave": true},
	} {
		t.Run(name, func(t *testing.T) {
			if _, warnings, err := new(Builder).Prepare(templateWith(settings)); err != nil || len(warnings) > 0 {
				t.Errorf("error %v, warnings %q", err, warnings)
			}
		})
	}
}
