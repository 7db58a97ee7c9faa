// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// soakMachines bakes with packer on the machines of a lab of its own for some time.
func soakMachines(t *testing.T, long time.Duration, seed uint64) {
	l := serveSeparate(t)
	source := write(t, map[string]string{
		"fs/opt/blob": incompressible(20000), "cloudinit/60_app.cfg": "#cloud-config\nruncmd: [sleep 5]\n",
		"script/install.sh": "#!/bin/sh\ntrue\n",
	})
	r := rand.New(rand.NewPCG(seed, 2)) // the same for the same seed
	var before, after resourceCounts
	ended := map[string]int{}
	bakes := 0
	for end := time.Now().Add(long); time.Now().Before(end) || bakes < 2; bakes++ {
		how := l.soakBake(t, r, source, fmt.Sprintf("soak-%d", bakes), bakes > 0)
		ended[how]++
		if after = l.waitSettled(before); before == nil && how == "well" {
			before = after
		}
		if t.Failed() {
			return
		}
	}
	if before == nil {
		t.Fatalf("no bake has succeeded: %v", ended) // the first has no faults
	}
	t.Logf("%d bakes that ended: %v\n%s", bakes, ended, countsTable("the lab and the computer", before, after))
	for what, more := range map[string]int64{"descriptors": 3, "threads": 20, "resident KiB": 100 << 10} {
		if after[what] > before[what]+more {
			t.Errorf("%s of the lab: %d after the first bake, %d at the end", what, before[what], after[what])
		}
	}
	for _, what := range []string{"processes", "mounts", "loop devices", "control groups", "namespaces", "files"} {
		if after[what] > before[what] {
			t.Errorf("%s: %d after the first bake, %d at the end", what, before[what], after[what])
		}
	}
	if err := l.stop(); err != nil {
		t.Error(err)
	}
	last := l.resourceCounts()
	t.Logf("and when the lab has ended\n%s", countsTable("the computer",
		resourceCounts{"processes": 0, "mounts": 0, "loop devices": 0, "control groups": 0, "namespaces": 0,
			"files": 0}, last))
	for what, n := range last {
		if n > 0 {
			t.Errorf("%s: %d when the lab has ended", what, n)
		}
	}
}

// separateLab is a lab with a folder of its own, by which its files and processes are found.
type separateLab struct {
	*lab

	dir string
}

func serveSeparate(t *testing.T) *separateLab {
	t.Helper()
	dir := t.TempDir()
	temporary := filepath.Join(dir, "tmp")
	if err := os.Mkdir(temporary, 0o755); err != nil {
		t.Fatal(err)
	}
	homes, err := labHomes(dir)
	if err != nil {
		t.Fatal(err)
	}
	l, err := serveIn(dir, append(homes, "TMPDIR="+temporary), nil, packertest.Built(t).Lab)
	if err != nil {
		t.Fatal(err)
	}
	return &separateLab{lab: l, dir: dir}
}

// soakBake bakes once, sometimes with a fault or an interrupt. It returns how the bake ended, and removes the image.
func (l *separateLab) soakBake(t *testing.T, r *rand.Rand, source, image string, disturb bool) string {
	t.Helper()
	if disturb && r.IntN(2) == 0 {
		l.control(t, http.MethodPost, "faults", randomFault(r))
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), packertest.Built(t).Packer, "build", "-var", "name="+image, "-var",
		"source="+source, absolute(t, template))
	cmd.Env, cmd.Stdout, cmd.Stderr = l.environ(t), &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	interrupted := disturb && r.IntN(4) == 0
	if interrupted {
		time.AfterFunc(time.Duration(r.Int64N(int64(25*time.Second))),
			func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) })
	}
	_ = cmd.Wait() // the image says how it ended
	l.control(t, http.MethodDelete, "faults", "")
	images := l.images(t, image)
	if (cmd.ProcessState.ExitCode() == 0) != (len(images) == 1) {
		t.Errorf("packer ended with %d, and there are the images %v\n%s", cmd.ProcessState.ExitCode(), images, &out)
	}
	for _, id := range images {
		l.aws(t, nil, "ec2", "deregister-image", "--image-id", id)
	}
	left, err := l.findLeftovers(t.Context(), func(resource) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range left {
		if r.Kind == "snapshot" { // of an image that is deregistered
			l.aws(t, nil, "ec2", "delete-snapshot", "--snapshot-id", r.ID)
		}
	}
	left = slices.DeleteFunc(left, func(r resource) bool { return r.Kind == "snapshot" })
	if len(left) > 0 {
		t.Errorf("left behind: %v\n%s", left, &out)
	}
	switch {
	case len(images) == 1:
		return "well"
	case interrupted:
		return "interrupted"
	case !disturb:
		t.Errorf("the bake failed, and nothing was broken\n%s", &out)
	}
	return "failed"
}

// waitSettled is the function waitSettled for the lab.
func (l *separateLab) waitSettled(than resourceCounts) resourceCounts {
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Second) {
		h := l.resourceCounts()
		if time.Now().After(end) || than != nil && h["processes"] <= than["processes"] &&
			h["mounts"] <= than["mounts"] &&
			h["descriptors"] <= than["descriptors"] && h["files"] <= than["files"] {
			return h
		}
	}
}

// resourceCounts counts what the lab's process and its machines hold. When the lab has ended, only the machines.
func (l *separateLab) resourceCounts() resourceCounts {
	h := resourceCounts{
		"mounts": int64(bytes.Count(readAll("/proc/self/mountinfo"), []byte(l.dir))), "loop devices": l.loops(),
		"control groups": l.controlGroups(), "files": countTree(filepath.Join(l.dir, "tmp")),
		"processes": 0, "namespaces": 0,
	}
	proc := filepath.Join("/proc", strconv.Itoa(l.process.Pid))
	if _, err := os.Stat(filepath.Join(proc, "exe")); err != nil {
		return h
	}
	tree := processTree(l.process.Pid)
	h["processes"], h["namespaces"] = int64(len(tree)), namespaces(tree)
	h["mounts"] += int64(bytes.Count(readAll(filepath.Join(proc, "mountinfo")), []byte(l.dir)))
	h["descriptors"], h["threads"] = countFiles(filepath.Join(proc, "fd")), countFiles(filepath.Join(proc, "task"))
	h["resident KiB"] = kilobytes(filepath.Join(proc, "status"), "VmRSS:") >> 10
	return h
}

func readAll(path string) []byte {
	text, _ := os.ReadFile(path) // what is gone has nothing
	return text
}

// loops counts the loop devices of disks of the lab.
func (l *separateLab) loops() int64 {
	n := int64(0)
	files, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, f := range files {
		if strings.HasPrefix(string(readAll(f)), l.dir) {
			n++
		}
	}
	return n
}

// controlGroups counts the control groups of machines, which have their names, below the one of the lab.
func (l *separateLab) controlGroups() int64 {
	n := int64(0)
	for line := range strings.Lines(string(readAll("/proc/self/cgroup"))) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		for _, root := range []string{"/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup"} {
			found, _ := filepath.Glob(filepath.Join(root, parts[len(parts)-1], "bakery-lab-*"))
			for _, dir := range found {
				if l.owns(filepath.Base(dir)) {
					n++
				}
			}
		}
	}
	return n
}

// owns reports whether a machine belongs to the lab: its console's log is in the lab's folder.
func (l *separateLab) owns(name string) bool {
	found, _ := filepath.Glob(filepath.Join(l.dir, "tmp", name+"-*"))
	return len(found) > 0
}

// namespaces counts the namespaces of processes, of all kinds.
func namespaces(pids []int) int64 {
	seen := map[string]bool{}
	for _, pid := range pids {
		files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/ns/*", pid))
		for _, f := range files {
			if to, err := os.Readlink(f); err == nil {
				seen[to] = true
			}
		}
	}
	return int64(len(seen))
}
