// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance_test

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/instance"
	"github.com/amibakery/packer-plugin-bakery/internal/machinelog"
	"github.com/amibakery/packer-plugin-bakery/internal/network"
)

// TestMachineIsJudgedWithoutABuilder launches, watches, judges and terminates a machine for somebody else than a bake:
// for a test of an image, say. It uses nothing but what the package exports.
func TestMachineIsJudgedWithoutABuilder(t *testing.T) {
	for name, c := range map[string]struct {
		reports []string
		stop    string // why the machine stopped
		want    string // in the error; "" for a success
	}{
		"success": {[]string{"begin 1", "start 1 check.sh", "end 1 0 check.sh", awsfake.Success},
			awsfake.ReasonOwnShutdown, ""},
		"failure": {
			[]string{"begin 1", "start 1 check.sh", "end 1 3 check.sh", "verdict fail 3 check.sh"},
			awsfake.ReasonOwnShutdown,
			"check.sh failed with exit status 3",
		},
		"no verdict":          {[]string{"begin 1"}, awsfake.ReasonOwnShutdown, "without a verdict"},
		"stopped by a person": {[]string{"begin 1"}, "Client.UserInitiatedShutdown", "did not power itself off"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				account := awsfake.New(t)
				account.Console, account.StopReason = nil, c.stop
				for i, text := range c.reports {
					account.Print(time.Duration(i+1)*time.Second, awsfake.Report(i+1, text))
				}
				ui := new(bytes.Buffer)
				m, err := launch(t, account, ui)
				checkError(t, err, c.want)
				if m.ID != account.Instance.ID {
					t.Errorf("the machine is %q, want %q", m.ID, account.Instance.ID)
				}
				if !strings.Contains(ui.String(), "the machine is up, with 1 steps to do") {
					t.Errorf("what the machine says is not shown:\n%s", ui)
				}
			})
		})
	}
}

// launch launches a machine with user data of its own, and undoes what it has made when the test ends.
func launch(t *testing.T, account *awsfake.Account, ui *bytes.Buffer) (*instance.Instance, error) {
	t.Helper()
	return launchOn(t, account, ui, nil)
}

// launchOn is launch, given what is known of the instance types.
func launchOn(
	t *testing.T, account *awsfake.Account, ui *bytes.Buffer, known instance.Hypervisors,
) (*instance.Instance, error) {
	t.Helper()
	b := &bake.Bake{
		ID: awsfake.BakeID, ImageName: "test of an image", Lifetime: time.Hour,
		UI: &packersdk.BasicUi{Writer: ui, ErrorWriter: ui},
	}
	launcher := &instance.Launcher{
		Bake: b, EC2: account.Clients().EC2, Settings: checkedSettings(t), Types: known, MaxRetries: 10,
		Render: func(_, text string) (string, error) { return text, nil },
	}
	m, err := launcher.Run(t.Context(), instance.Spec{
		Image:   types.Image{ImageId: aws.String(awsfake.SourceImageID)},
		Network: network.Network{Groups: []string{"sg-1"}},
		UserData: func(context.Context, int) ([]byte, *machinelog.Log, error) {
			log := machinelog.New(b, awsfake.Machine.Reader, guest.NewKey(), machinelog.NewRecord(b, false), nil)
			return []byte("#!/bin/sh\n"), log, nil
		},
	})
	noLimit := func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }
	if err := b.Ledger.UndoAll(t.Context(), noLimit); err != nil {
		t.Error(err)
	}
	if left := account.Leftovers(); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	return m, err
}

// checkedSettings are the defaults.
func checkedSettings(t *testing.T) instance.Settings {
	t.Helper()
	s := instance.Settings{
		Run: new(instance.RunConfig), Placement: new(instance.PlacementConfig),
		Spot: new(instance.SpotConfig), Watch: new(instance.WatchConfig),
	}
	for _, check := range []func() ([]string, []error){s.Run.Check, s.CheckTypes, s.Placement.Check, s.Spot.Check,
		s.Watch.Check} {
		if _, errs := check(); len(errs) > 0 {
			t.Fatal(errs)
		}
	}
	return s
}

func checkError(t *testing.T, err error, want string) {
	t.Helper()
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		t.Errorf("the error is %v, want %q", err, want)
	}
}
