// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/disk"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
)

func TestErrorsOfStart(t *testing.T) {
	notADisk := filepath.Join(t.TempDir(), "empty.img")
	if err := os.WriteFile(notADisk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		spec machine.Spec
		want string
	}{
		"no disk":        {machine.Spec{ID: "i-nodisk", Disk: "/no/such.img"}, "mount disk /no/such.img"},
		"no file system": {machine.Spec{ID: "i-nofs", Disk: notADisk}, "mount disk"},
		"no name":        {machine.Spec{ID: "../x", Disk: "/no/such.img"}, "lower-case letters"},
		"no address": {machine.Spec{ID: "i-noaddr", Disk: newDisk(t, "bookworm"),
			Listeners: []machine.Listener{{Address: "nowhere:80"}}}, "listen on nowhere:80"},
		"one address, twice": {machine.Spec{ID: "i-twice", Disk: newDisk(t, "bookworm"),
			Listeners: []machine.Listener{{Address: "127.0.0.1:81"}, {Address: "127.0.0.1:81"}}},
			"address already in use"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := machine.Nspawn().Start(t.Context(), tc.spec)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
			assertNothingLeft(t, tc.spec)
		})
	}
}

func TestADiskWithoutSystemdEndsWithTheReason(t *testing.T) {
	image := filepath.Join(t.TempDir(), "disk.img")
	tree := t.TempDir()
	for _, dir := range []string{"etc", "usr/bin"} {
		if err := os.MkdirAll(filepath.Join(tree, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(tree, "etc/os-release"), []byte("ID=empty\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := disk.FromTree(t.Context(), disk.Ext4, tree, image, 64<<20); err != nil {
		t.Fatal(err)
	}
	g := launch(t, "i-empty", image, "")
	exit := g.wait(t)
	if exit.PoweredOff || exit.Err == nil || !strings.Contains(exit.Err.Error(), "init") {
		t.Errorf("exit %+v", exit)
	}
}

// victimVariable makes the test binary a lab that is going to be killed. It runs a machine on the disk that the
// variable names.
const victimVariable = "MACHINE_TEST_VICTIM"

func victim(image string) int {
	console := newTranscript()
	_, err := machine.Nspawn().Start(context.Background(), machine.Spec{
		ID: "i-victim", Disk: image, Console: console, Internet: true,
		Listeners: []machine.Listener{{Address: "169.254.169.254:80",
			Handler: imds("i-victim", "#cloud-config\nruncmd: [echo it is up > /dev/console]\n")}},
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for range console.changed {
		if strings.Contains(console.String(), "it is up") {
			fmt.Println("up")
		}
	}
	return 0
}

func TestNothingIsLeftOfALabThatIsKilled(t *testing.T) {
	image := newDisk(t, "bookworm")
	lab := exec.Command("/proc/self/exe")
	lab.Env = append(os.Environ(), victimVariable+"="+image)
	out, err := lab.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
		t.Errorf("the lab says %q, %v", line, err)
	}
	if !strings.Contains(loops(t), image) || !running(t, "i-victim") || !running(t, "slirp4netns") {
		t.Error("the lab does not run what it is to leave nothing of")
	}
	if err := lab.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = lab.Wait()
	for limit := time.Now().Add(bootTimeout); strings.Contains(loops(t), image) || running(t, "i-victim") ||
		running(t, "slirp4netns"); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("processes or loop devices are left:\n%s", loops(t))
		}
	}
	// The next machine removes the rest: empty directories.
	launch(t, "i-next", newDisk(t, "bookworm"), "").Kill()
	assertNothingLeft(t, machine.Spec{ID: "i-victim", Disk: image})
}
