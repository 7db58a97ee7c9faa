// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

const region = "us-east-1"

// newCloud returns a Cloud whose machines are goroutines.
func newCloud(t *testing.T, o cloud.Options) *cloud.Cloud {
	t.Helper()
	if o.Images == "" {
		o.Images = t.TempDir()
	}
	if o.Runner == nil {
		o.Runner = labtest.Runner{}
	}
	o.Run, o.Disks, o.Base = t.TempDir(), labtest.Disks(), labtest.Base(t.TempDir())
	c, err := cloud.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func launch(t *testing.T, c *cloud.Cloud, change func(*cloud.Launch)) cloud.Instance {
	t.Helper()
	l := cloud.Launch{Region: region, ImageID: cloud.BaseImageID("bookworm"), Type: "t3.nano"}
	if change != nil {
		change(&l)
	}
	all, err := c.Launch(l)
	if err != nil {
		t.Fatal(err)
	}
	return all[0]
}

func state(t *testing.T, c *cloud.Cloud, id string) cloud.Instance {
	t.Helper()
	i, ok := c.Instance(id)
	if !ok {
		t.Fatalf("instance %s is gone", id)
	}
	return i
}

// code returns the code of EC2's error; "" for nil.
func code(err error) string {
	if refused, ok := errors.AsType[*apierror.Error](err); ok {
		return refused.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestAnInstanceThatPowersItselfOff(t *testing.T) {
	for name, behaviour := range map[string]struct {
		set      string
		via, end cloud.State
	}{
		"stops by default":          {"stop", cloud.Stopping, cloud.Stopped},
		"ends when it is asked for": {"terminate", cloud.ShuttingDown, cloud.Terminated},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCloud(t, cloud.Options{
					Runner: labtest.Runner{Guest: func(m *labtest.Machine) {
						m.Print("booting\n")
						time.Sleep(20 * time.Second)
						m.Print("done\n")
						m.PowerOff()
					}},
					Delays: cloud.Delays{Pending: 5 * time.Second, Stopping: 7 * time.Second,
						Terminating: 7 * time.Second},
				})
				defer c.Close()
				i := launch(t, c, func(l *cloud.Launch) { l.ShutdownBehavior = behaviour.set })
				if i.State != cloud.Pending || i.Reason != cloud.ReasonPending {
					t.Errorf("after the launch: %s %v", i.State, i.Reason)
				}
				time.Sleep(6 * time.Second)
				if got := state(t, c, i.ID); got.State != cloud.Running || got.Reason != (cloud.Reason{}) {
					t.Errorf("after 6 s: %s %v", got.State, got.Reason)
				}
				if text, _, _ := c.Console(region, i.ID, cloud.ConsoleView{}); string(text) != "booting\n" {
					t.Errorf("console without Latest while it runs: %q", text)
				}
				time.Sleep(16 * time.Second)
				if got := state(t, c, i.ID); got.State != behaviour.via || got.Reason != cloud.ReasonGuest ||
					got.TransitionReason != "" {
					t.Errorf("after 22 s: %s %v %q", got.State, got.Reason, got.TransitionReason)
				}
				time.Sleep(7 * time.Second)
				if got := state(t, c, i.ID); got.State != behaviour.end || got.Reason != cloud.ReasonGuest {
					t.Errorf("after 29 s: %s %v", got.State, got.Reason)
				}
				if text, _, _ := c.Console(region, i.ID, cloud.ConsoleView{}); string(text) != "booting\ndone\n" {
					t.Errorf("console after the end: %q", text)
				}
			})
		})
	}
}

func TestReasonsAfterStopAndTerminate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t, cloud.Options{})
		defer c.Close()
		i := launch(t, c, nil)
		synctest.Wait()
		changes, err := c.Stop(region, []string{i.ID}, false)
		if want := []cloud.Change{{ID: i.ID, Before: cloud.Running, After: cloud.Stopping}}; err != nil ||
			!cmp.Equal(changes, want) {
			t.Errorf("stop: %v %v", changes, err)
		}
		synctest.Wait()
		got := state(t, c, i.ID)
		if got.State != cloud.Stopped || got.Reason != cloud.ReasonUser ||
			!strings.HasPrefix(got.TransitionReason, "User initiated (") {
			t.Errorf("stopped: %s %v %q", got.State, got.Reason, got.TransitionReason)
		}
		if _, err := c.Start(region, []string{i.ID}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := state(t, c, i.ID); got.State != cloud.Running {
			t.Errorf("started again: %s", got.State)
		}
		if _, err := c.Terminate(region, []string{i.ID}); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if got := state(t, c, i.ID); got.State != cloud.Terminated || got.Reason != cloud.ReasonUser ||
			len(got.Devices) != 0 {
			t.Errorf("terminated: %+v", got)
		}
		if all, _ := c.Volumes(region, nil); len(all) != 0 {
			t.Errorf("volumes are left: %v", all)
		}
	})
}

func TestAMachineThatCannotStartIsTerminated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t, cloud.Options{Runner: labtest.Runner{Fail: errors.New("no")}})
		defer c.Close()
		i := launch(t, c, nil)
		synctest.Wait()
		if got := state(t, c, i.ID); got.State != cloud.Terminated || got.Reason != cloud.ReasonLaunch {
			t.Errorf("%s %v", got.State, got.Reason)
		}
	})
}

func TestATerminationWhilePendingEndsTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t, cloud.Options{Delays: cloud.Delays{Pending: time.Minute}})
		defer c.Close()
		i := launch(t, c, nil)
		if _, err := c.Terminate(region, []string{i.ID}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if got := state(t, c, i.ID); got.State != cloud.Terminated {
			t.Errorf("%s", got.State)
		}
	})
}

func TestAnImageHasTheMachinesDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		c := newCloud(t, cloud.Options{Images: dir, Delays: cloud.Delays{Image: time.Minute},
			Runner: labtest.Runner{Guest: func(m *labtest.Machine) {
				if err := m.AppendDisk("baked\n"); err != nil {
					t.Error(err)
				}
				m.PowerOff()
			}}})
		i := launch(t, c, nil)
		synctest.Wait()
		image, err := c.CreateImage(cloud.NewImage{Region: region, InstanceID: i.ID, Name: "first",
			Tags: cloud.Tags{"a": "b"}, SnapshotTags: cloud.Tags{"c": "d"}})
		if err != nil || image.State != "pending" {
			t.Fatalf("%v %v", image, err)
		}
		if _, err := c.Terminate(region, []string{i.ID}); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Minute)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		again := newCloud(t, cloud.Options{Images: dir})
		defer again.Close()
		all, err := again.Images(region, []string{image.ID})
		if err != nil || all[0].State != "available" || all[0].Tags["a"] != "b" || all[0].SourceImage != i.ImageID {
			t.Fatalf("in the next process: %+v %v", all, err)
		}
		snapshots, err := again.Snapshots(region, []string{all[0].Devices[0].SnapshotID})
		if err != nil || snapshots[0].State != "completed" || snapshots[0].Tags["c"] != "d" {
			t.Errorf("its snapshot: %+v %v", snapshots, err)
		}
		got, err := os.ReadFile(cloud.SnapshotDisk(dir, snapshots[0].ID))
		if err != nil || string(got) != "bookworm\nbaked\n" {
			t.Errorf("its disk: %q %v", got, err)
		}
		launch(t, again, func(l *cloud.Launch) { l.ImageID = image.ID })
	})
}

func TestAnImageOfARunningInstanceRestartsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boots := 0
		c := newCloud(t, cloud.Options{Runner: labtest.Runner{Guest: func(*labtest.Machine) { boots++ }}})
		defer c.Close()
		i := launch(t, c, nil)
		synctest.Wait()
		image, err := c.CreateImage(cloud.NewImage{Region: region, InstanceID: i.ID, Name: "live"})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if got := state(t, c, i.ID); got.State != cloud.Running || boots != 2 {
			t.Errorf("%s after %d boots", got.State, boots)
		}
		if all, err := c.Images(region, []string{image.ID}); err != nil || all[0].State != "available" {
			t.Errorf("%v %v", all, err)
		}
	})
}

// newCloudWithImage returns a Cloud with one image of a machine that has powered itself off.
func newCloudWithImage(t *testing.T, dir string) (*cloud.Cloud, cloud.Image) {
	t.Helper()
	c := newCloud(t, cloud.Options{Images: dir, Runner: labtest.Runner{Guest: (*labtest.Machine).PowerOff}})
	i := launch(t, c, nil)
	synctest.Wait()
	image, err := c.CreateImage(cloud.NewImage{Region: region, InstanceID: i.ID, Name: "one"})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return c, image
}

func TestDeregisterDeletesSnapshotsOnlyOnRequest(t *testing.T) {
	for _, with := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			c, image := newCloudWithImage(t, dir)
			defer c.Close()
			snapshot := image.Devices[0].SnapshotID
			if got := code(c.DeleteSnapshot(region, snapshot)); got != "InvalidSnapshot.InUse" {
				t.Errorf("delete a snapshot in use: %q", got)
			}
			if _, err := c.Deregister(region, image.ID, with); err != nil {
				t.Error(err)
			}
			left, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil || (len(left) == 0) != with {
				t.Errorf("left: %v %v", left, err)
			}
			if !with {
				if err := c.DeleteSnapshot(region, snapshot); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestACopyDoesNotNeedItsSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		c, first := newCloudWithImage(t, dir)
		defer c.Close()
		second, err := c.CopyImage(cloud.Copy{Region: "eu-west-1", SourceRegion: region, ImageID: first.ID,
			Name: "one"})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if _, err := c.Deregister(region, first.ID, true); err != nil {
			t.Error(err)
		}
		got, err := os.ReadFile(cloud.SnapshotDisk(dir, second.Devices[0].SnapshotID))
		if err != nil || string(got) != "bookworm\n" {
			t.Errorf("the copy's disk: %q %v", got, err)
		}
		if _, err := c.Images(region, []string{second.ID}); code(err) != "InvalidAMIID.NotFound" {
			t.Errorf("the copy shows in the first region: %v", err)
		}
		if all, err := c.Images("eu-west-1", []string{second.ID}); err != nil || all[0].State != "available" {
			t.Errorf("%v %v", all, err)
		}
	})
}

func TestErrorsOfALaunch(t *testing.T) {
	c := newCloud(t, cloud.Options{})
	t.Cleanup(func() { _ = c.Close() })
	for want, change := range map[string]func(*cloud.Launch){
		"InvalidAMIID.Malformed":   func(l *cloud.Launch) { l.ImageID = "ami-nonsense" },
		"InvalidAMIID.NotFound":    func(l *cloud.Launch) { l.ImageID = "ami-0123456789abcdef0" },
		"InvalidSubnetID.NotFound": func(l *cloud.Launch) { l.SubnetID = "subnet-0123456789abcdef0" },
		"InvalidGroup.NotFound":    func(l *cloud.Launch) { l.SecurityGroups = []string{"sg-0123456789abcdef0"} },
		"InvalidGroupId.Malformed": func(l *cloud.Launch) { l.SecurityGroups = []string{"default"} },
		"InvalidKeyPair.NotFound":  func(l *cloud.Launch) { l.KeyName = "none" },
		"InvalidParameterValue":    func(l *cloud.Launch) { l.UserData = make([]byte, cloud.UserDataLimit+1) },
		"InvalidBlockDeviceMapping": func(l *cloud.Launch) {
			l.Devices = []cloud.ImageDevice{{Name: cloud.DefaultRoot,
				Size: 1}}
		},
	} {
		l := cloud.Launch{Region: region, ImageID: cloud.BaseImageID("bookworm"), Type: "t3.nano"}
		change(&l)
		if _, err := c.Launch(l); code(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
		if err := c.Check(l); code(err) != want {
			t.Errorf("a dry run: got %v, want %s", err, want)
		}
	}
	if all, err := c.Instances(region, nil); err != nil || len(all) != 0 {
		t.Errorf("instances: %v %v", all, err)
	}
}

// TestArchitectures launches images on instance types, and makes images of the instances.
func TestArchitectures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t, cloud.Options{})
		defer c.Close()
		for _, tc := range []struct{ suite, on, refused string }{
			{"bookworm", "t3.nano", ""}, {"arm64", "t4g.nano", ""},
			{"bookworm", "t4g.nano", "InvalidParameterValue"}, {"arm64", "t3.nano", "InvalidParameterValue"},
		} {
			all, err := c.Launch(cloud.Launch{Region: region, ImageID: cloud.BaseImageID(tc.suite), Type: tc.on})
			if code(err) != tc.refused {
				t.Errorf("%s on %s: %v", tc.suite, tc.on, err)
			}
			if err != nil {
				continue
			}
			synctest.Wait()
			image, err := c.CreateImage(cloud.NewImage{Region: region, InstanceID: all[0].ID, Name: "of " + tc.suite})
			if err != nil || image.Architecture != all[0].Architecture ||
				(image.Architecture == "arm64") != (tc.suite == "arm64") {
				t.Errorf("the image of %s is for %s, %v", tc.suite, image.Architecture, err)
			}
		}
	})
}

func TestUserDataOfExactlyTheLimitIsAccepted(t *testing.T) {
	c := newCloud(t, cloud.Options{})
	t.Cleanup(func() { _ = c.Close() })
	launch(t, c, func(l *cloud.Launch) { l.UserData = make([]byte, cloud.UserDataLimit) })
}

func TestAClientTokenLaunchesOnce(t *testing.T) {
	c := newCloud(t, cloud.Options{})
	t.Cleanup(func() { _ = c.Close() })
	token := func(l *cloud.Launch) { l.ClientToken = "once" }
	first, second := launch(t, c, token), launch(t, c, token)
	if first.ID != second.ID {
		t.Errorf("two instances: %s and %s", first.ID, second.ID)
	}
	_, err := c.Launch(cloud.Launch{Region: region, ImageID: cloud.BaseImageID("trixie"), Type: "t3.nano",
		ClientToken: "once"})
	if code(err) != "IdempotentParameterMismatch" {
		t.Error(err)
	}
}

func TestImageNamesAreCheckedAndUnique(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t, cloud.Options{Runner: labtest.Runner{Guest: (*labtest.Machine).PowerOff}})
		defer c.Close()
		i := launch(t, c, nil)
		synctest.Wait()
		for _, step := range []struct{ name, want string }{
			{"ab", "InvalidAMIName.Malformed"}, {"a{}b", "InvalidAMIName.Malformed"},
			{strings.Repeat("x", 129), "InvalidAMIName.Malformed"},
			{"a (b) [c] d/e-f'g@h_1.0", ""}, {"a (b) [c] d/e-f'g@h_1.0", "InvalidAMIName.Duplicate"},
		} {
			_, err := c.CreateImage(cloud.NewImage{Region: region, InstanceID: i.ID, Name: step.name})
			if code(err) != step.want {
				t.Errorf("%q: got %v, want %q", step.name, err, step.want)
			}
			synctest.Wait()
		}
	})
}

func TestTheConsoleKeepsTheLast64KB(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t, cloud.Options{Runner: labtest.Runner{Guest: func(m *labtest.Machine) {
			m.Print(strings.Repeat("x", 100<<10))
			m.Print("end")
			m.PowerOff()
		}}})
		defer c.Close()
		i := launch(t, c, nil)
		synctest.Wait()
		text, _, err := c.Console(region, i.ID, cloud.ConsoleView{})
		if err != nil || len(text) != 64<<10 || !strings.HasSuffix(string(text), "xend") {
			t.Errorf("%d bytes, %v", len(text), err)
		}
	})
}

func TestAnImportedDiskIsAnImage(t *testing.T) {
	dir := t.TempDir()
	image, err := cloud.Import(dir, "mine", func(to string) error { return os.WriteFile(to, []byte("disk"), 0o600) })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cloud.Import(dir, "mine", nil); code(err) != "InvalidAMIName.Duplicate" {
		t.Error(err)
	}
	c := newCloud(t, cloud.Options{Images: dir})
	t.Cleanup(func() { _ = c.Close() })
	launch(t, c, func(l *cloud.Launch) { l.ImageID = image.ID })
}

func TestExecReachesTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t, cloud.Options{})
		defer c.Close()
		i := launch(t, c, nil)
		synctest.Wait()
		var out strings.Builder
		if err := c.Exec(context.Background(), i.ID, []string{"echo", "a"}, nil, &out, &out); err != nil ||
			out.String() != "[echo a]\n" {
			t.Errorf("%q %v", out.String(), err)
		}
		if _, err := c.Stop(region, []string{i.ID}, true); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if err := c.Exec(context.Background(), i.ID, []string{"true"}, nil, &out,
			&out); code(err) != "IncorrectInstanceState" {
			t.Error(err)
		}
	})
}
