// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// provisioner is a hook that does what a provisioner would.
type provisioner func(context.Context, packersdk.Ui, packersdk.Communicator, map[string]any) error

func (p provisioner) Run(ctx context.Context, name string, ui packersdk.Ui, comm packersdk.Communicator, data any) error {
	if name != packersdk.HookProvision {
		return nil
	}
	return p(ctx, ui, comm, data.(map[string]any))
}

// shellBlock does what the shell provisioner does, and takes exit statuses but zero for failures.
func shellBlock(ctx context.Context, ui packersdk.Ui, comm packersdk.Communicator, _ map[string]any) error {
	if err := comm.Upload("/tmp/script_1.sh", strings.NewReader("true"), nil); err != nil {
		return errors.New("the shell provisioner would try again for five minutes")
	}
	chmod := &packersdk.RemoteCmd{Command: "chmod 0755 /tmp/script_1.sh"}
	if err := comm.Start(ctx, chmod); err != nil {
		return errors.New("the shell provisioner would try again for five minutes")
	}
	cmd := &packersdk.RemoteCmd{Command: "/tmp/script_1.sh"}
	if err := cmd.RunWithUi(ctx, comm, ui); err != nil {
		return err
	}
	if code := cmd.ExitStatus(); code != 0 {
		return errors.New("script exited with non-zero exit status")
	}
	return nil
}

func TestProvisionersThatNeedAMachineFailAtOnce(t *testing.T) {
	info, err := os.Stat(".")
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]provisioner{
		"shell": shellBlock,
		"file": func(_ context.Context, _ packersdk.Ui, comm packersdk.Communicator, _ map[string]any) error {
			return comm.Upload("/x", strings.NewReader("x"), &info)
		},
		"file of a directory": func(_ context.Context, _ packersdk.Ui, comm packersdk.Communicator, _ map[string]any) error {
			return comm.UploadDir("/x", "/y", nil)
		},
		"file that downloads": func(_ context.Context, _ packersdk.Ui, comm packersdk.Communicator, _ map[string]any) error {
			return errors.Join(comm.Download("/x", new(bytes.Buffer)), comm.DownloadDir("/x", "/y", nil))
		},
		"one that ignores its errors": func(_ context.Context, _ packersdk.Ui, comm packersdk.Communicator, _ map[string]any) error {
			_ = comm.Upload("/x", strings.NewReader("x"), nil)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, _, err := bakes(t, func(o *oven) { o.hook = p })
			if err == nil {
				t.Fatal("the bake succeeded")
			}
			if !strings.Contains(o.ui.String()+err.Error(), "script/install.sh") {
				t.Errorf("nobody says what to do instead: %v\n%s", err, o.ui)
			}
			if o.cloud.instance != "" {
				t.Error("a machine was run")
			}
		})
	}
}

func TestProvisionersThatRunHereSeeTheBuildData(t *testing.T) {
	var seen map[string]any
	_, _, err := bakes(t, func(o *oven) {
		o.hook = provisioner(func(_ context.Context, _ packersdk.Ui, _ packersdk.Communicator, data map[string]any) error {
			seen = data
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"SourceAMI": sourceID, "SourceAMIName": "debian-12", "BuildRegion": "us-east-1", "BakeID": testBake, "Host": "", "ConnType": "none",
	} {
		if seen[name] != want {
			t.Errorf("build.%s is %v, want %q", name, seen[name], want)
		}
	}
	for _, name := range buildDataNames {
		if _, ok := seen[name]; !ok {
			t.Errorf("build.%s is promised and not there", name)
		}
	}
}

func TestPollKeepsItsIntervalAndStopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 100*time.Second, errNoMachine)
		defer cancel()
		var last time.Time
		calls := 0
		err := poll(ctx, every(10*time.Second), func(context.Context) (bool, error) {
			if gap := time.Since(last); calls > 0 && (gap < 9*time.Second || gap > 11*time.Second) {
				t.Errorf("call %d came after %s", calls, gap)
			}
			last = time.Now()
			calls++
			return false, nil
		})
		if !errors.Is(err, errNoMachine) || calls < 9 || calls > 12 {
			t.Errorf("error %v after %d calls", err, calls)
		}
	})
}
