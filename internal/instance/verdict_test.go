// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/machinelog"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// While a computer is suspended, a machine that is to stop may be ended by its own limit, which is no success.
func TestStopAfterTheTimeoutIsNoSuccess(t *testing.T) {
	const limit = 30 * time.Minute
	for took, ok := range map[time.Duration]bool{
		time.Minute: true, limit: true, AbandonedAfter(limit): false, 10 * time.Hour: false,
	} {
		ui := &packersdk.BasicUi{Writer: new(bytes.Buffer), PB: &packersdk.NoopProgressTracker{}}
		m := &Instance{
			Launched: time.Now().Add(-took),
			bake:     &bake.Bake{UI: ui},
		}
		err := m.findVerdict(t.Context(), &WatchConfig{Verdict: setting.VerdictStop, InstanceTimeout: limit})
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "instance_timeout of 30m0s was over") {
			t.Errorf("after %s, the error is %v", took, err)
		}
	}
}

// TestErrorsSayWhatOnlyTheBuilderKnows checks the errors of a machine that has no way to S3, or too little memory.
func TestErrorsSayWhatOnlyTheBuilderKnows(t *testing.T) {
	const way = "S3 gave this machine no good answer: timeout. Does its subnet have a way there: a NAT gateway, or " +
		"an endpoint for S3? (b.s3.us-east-1.amazonaws.com)"
	for name, c := range map[string]struct {
		reason, address, want string
	}{
		"a private subnet": {way, "", "had no public IP address: its subnet, subnet-1, needs a route to a NAT gateway"},
		"a public address": {way, "192.0.2.1",
			"had the public IP address 192.0.2.1: its subnet, subnet-1, needs a route to an internet gateway"},
		"memory": {"the kernel killed dnf for lack of memory: the machine has 458 MiB. Set a larger instance_type", "",
			"its instance_type was t3.nano"},
	} {
		t.Run(name, func(t *testing.T) {
			m := &Instance{Log: new(machinelog.Log), option: launchOption{instanceType: "t3.nano"}}
			m.update(&types.Instance{SubnetId: aws.String("subnet-1"), PublicIpAddress: aws.String(c.address)})
			m.update(&types.Instance{})
			err := m.outcomeError(guest.Outcome{Step: "a", Code: 1, Reason: c.reason, Tail: []string{"x"}}, time.Hour)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("the error is %v, want %q", err, c.want)
			}
		})
	}
}
