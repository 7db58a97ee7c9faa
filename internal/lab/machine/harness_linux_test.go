// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/baseimage"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/disk"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sandbox"
)

// bootTimeout is for a busy computer; a quiet one needs 3 s.
const bootTimeout = 2 * time.Minute

// TestMain runs the tests in a sandbox, as the lab runs its machines, so that processes of a failing test end with it.
func TestMain(m *testing.M) {
	sandbox.Init()
	if sandbox.Inside() {
		if image := os.Getenv(victimVariable); image != "" {
			os.Exit(victim(image))
		}
		os.Exit(m.Run())
	}
	if err := machine.Check(true); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code, err := sandbox.Run(os.Args, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(code)
}

// newDisk returns a new clone of a suite's base image.
func newDisk(t *testing.T, suite string) string {
	t.Helper()
	home := os.Getenv("BAKERY_LAB_HOME")
	if home == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		home = filepath.Join(cache, "bakery-lab")
	}
	base, err := baseimage.Ensure(t.Context(), home, suite, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := disk.Clone(base.Disk, path); err != nil {
		t.Fatal(err)
	}
	return path
}

type guest struct {
	machine.Machine
	spec    machine.Spec
	console *transcript
}

// launch starts a machine named id; change may change its spec.
func launch(t *testing.T, id, image, userData string, change ...func(*machine.Spec)) *guest {
	t.Helper()
	g := &guest{console: newTranscript()}
	g.spec = machine.Spec{
		ID: id, Disk: image, Console: g.console,
		Listeners: []machine.Listener{{Address: "169.254.169.254:80", Handler: imds(id, userData)}},
	}
	for _, c := range change {
		c(&g.spec)
	}
	m, err := machine.Nspawn().Start(t.Context(), g.spec)
	if err != nil {
		t.Fatal(err)
	}
	g.Machine = m
	t.Cleanup(func() {
		m.Kill()
		if t.Failed() {
			t.Logf("console of %s:\n%s", id, g.console)
		}
		assertNothingLeft(t, g.spec)
	})
	return g
}

// wait waits for the machine's end.
func (g *guest) wait(t *testing.T) machine.Exit {
	t.Helper()
	select {
	case <-g.Done():
	case <-time.After(bootTimeout):
		t.Fatal("the machine did not end")
	}
	return g.Exit()
}

// see waits until the console has printed a text.
func (g *guest) see(t *testing.T, text string) {
	t.Helper()
	limit := time.After(bootTimeout)
	for !strings.Contains(g.console.String(), text) {
		select {
		case <-g.console.changed:
		case <-g.Done():
			if strings.Contains(g.console.String(), text) {
				return
			}
			t.Fatalf("the machine ended without printing %q", text)
		case <-limit:
			t.Fatalf("the machine did not print %q", text)
		}
	}
}

// assertNothingLeft asserts that nothing of a machine that has ended is left on this computer.
func assertNothingLeft(t *testing.T, s machine.Spec) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || bytes.Contains(mounts, []byte(s.ID)) {
		t.Errorf("mounts are left (%v):\n%s", err, mounts)
	}
	for _, pattern := range []string{ // /run/netns: the lab's namespaces have no names
		"/sys/fs/cgroup/*" + s.ID + "*", "/sys/fs/cgroup/*/*" + s.ID + "*", "/sys/fs/cgroup/*/*/*" + s.ID + "*",
		"/run/systemd/nspawn/propagate/*" + s.ID, "/run/netns/*",
		filepath.Join(filepath.Dir(filepath.Dir(t.TempDir())), "bakery-lab-"+s.ID+"*"),
	} {
		if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
	}
	if strings.Contains(loops(t), s.Disk+"\n") {
		t.Errorf("a loop device still has %s", s.Disk)
	}
	if running(t, "bakery-lab-"+s.ID) {
		t.Error("a process is left")
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// onDisk returns a file of a disk that no machine uses.
func onDisk(t *testing.T, image, path string) string {
	t.Helper()
	dir := t.TempDir()
	unmount, err := disk.Mount(image, dir, true)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, path))
	if err := errors.Join(err, unmount()); err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// run returns the output of a command in the machine.
func run(t *testing.T, g *guest, argv ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := g.Exec(t.Context(), argv, nil, &out, &out); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
	return out.String()
}

// suites returns bookworm, or the suites in BAKERY_LAB_SUITES.
func suites() string {
	if s := os.Getenv("BAKERY_LAB_SUITES"); s != "" {
		return s
	}
	return "bookworm"
}

// loops returns the names of the files of all loop devices.
func loops(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, file := range glob(t, "/sys/block/loop*/loop/backing_file") {
		name, _ := os.ReadFile(file) // empty when it has just been removed
		all.Write(name)
	}
	return all.String()
}

// running reports whether a process of this sandbox has a text in its command line.
func running(t *testing.T, text string) bool {
	t.Helper()
	for _, file := range glob(t, "/proc/[0-9]*/cmdline") {
		if line, err := os.ReadFile(file); err == nil && bytes.Contains(line, []byte(text)) {
			return true
		}
	}
	return false
}
