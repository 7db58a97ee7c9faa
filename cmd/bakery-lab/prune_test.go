// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// now is the time of all these tests.
var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// days returns a time some days before now.
func days(n int) time.Time { return now.AddDate(0, 0, -n) }

// testHome has an old base image and a new one, what killed labs and builds have left, and images.
func testHome(t *testing.T) home {
	t.Helper()
	t.Setenv("BAKERY_LAB_HOME", t.TempDir())
	t.Setenv("BAKERY_LAB_BASE", "")
	h, err := openHome()
	if err != nil {
		t.Fatal(err)
	}
	for name, used := range map[string]time.Time{
		"base/bookworm-0123456789ab.img": days(2), "base/bookworm-0123456789ab.json": days(90),
		"base/trixie-0123456789ab.img": days(60), "base/trixie-0123456789ab.json": days(90),
		"base/trixie.lock":               days(90),
		"base/build-el-123456/root/file": days(60), "base/kernel-1/vmlinuz": days(60),
		"run/dead/disks/i-1.img": days(1), "run/dead/lock": days(1), "images/snap-part.img": days(1),
	} {
		write(t, filepath.Join(h.dir, name), name, used)
	}
	for _, name := range []string{"base/build-el-123456", "base/kernel-1"} {
		if err := os.Chtimes(filepath.Join(h.dir, name), days(60), days(60)); err != nil {
			t.Fatal(err)
		}
	}
	image(t, h, "old", days(50))
	image(t, h, "new", days(3))
	return h
}

func write(t *testing.T, path, text string, at time.Time) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

// image adds an AMI with a snapshot.
func image(t *testing.T, h home, name string, made time.Time) {
	t.Helper()
	made = made.UTC()
	text := made.Format(time.RFC3339)
	write(t, filepath.Join(h.images(), "snap-"+name+".img"), "disk", made)
	write(t, filepath.Join(h.images(), "snap-"+name+".json"), `{"id":"snap-`+name+`","started":"`+text+`"}`, made)
	write(t, filepath.Join(h.images(), "ami-"+name+".json"), `{"id":"ami-`+name+`","created":"`+text+
		`","devices":[{"name":"/dev/xvda","snapshot":"snap-`+name+`"}]}`, made)
}

// files returns the files below the home, without locks.
func files(t *testing.T, h home) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(h.dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && !strings.HasSuffix(path, "lock") {
			name, _ := filepath.Rel(h.dir, path)
			all = append(all, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// pruned runs prune, and returns its exit code, its output, and the files that it has removed.
func pruned(t *testing.T, h home, p pruning) (int, string, []string) {
	t.Helper()
	before := files(t, h)
	var out strings.Builder
	p.out, p.now = &out, now
	if p.in == nil {
		p.in = strings.NewReader("")
	}
	if p.olderThan == 0 {
		p.olderThan = age(30 * day)
	}
	exit, err := p.run(h)
	if err != nil {
		t.Error(err)
	}
	after := files(t, h)
	return exit, out.String(), slices.DeleteFunc(before, func(name string) bool { return slices.Contains(after, name) })
}

// unused are the files that prune removes without flags.
var unused = []string{
	"base/build-el-123456/root/file", "base/kernel-1/vmlinuz", "base/trixie-0123456789ab.img",
	"base/trixie-0123456789ab.json", "images/snap-part.img", "run/dead/disks/i-1.img",
}

func same(t *testing.T, got, want []string) {
	t.Helper()
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("removed %q, want %q", got, want)
	}
}

func TestPruneRemovesWhatIsUnused(t *testing.T) {
	exit, out, removed := pruned(t, testHome(t), pruning{yes: true})
	same(t, removed, unused)
	if exit != 0 || !strings.Contains(out, "trixie-0123456789ab") || strings.Contains(out, "bookworm") {
		t.Errorf("%d\n%s", exit, out)
	}
}

func TestPruneRemovesOldImages(t *testing.T) {
	h := testHome(t)
	_, _, removed := pruned(t, h, pruning{yes: true, images: true})
	want := append([]string{"images/ami-old.json", "images/snap-old.img", "images/snap-old.json"}, unused...)
	slices.Sort(want)
	same(t, removed, want)
	left, _, err := cloud.Stored(h.images())
	if err != nil || slices.ContainsFunc(left, func(i cloud.Image) bool { return i.ID == "ami-old" }) {
		t.Errorf("%v, %v", left, err)
	}
}

// An old snapshot stays with a younger image that uses it.
func TestPruneKeepsWhatAYoungImageUses(t *testing.T) {
	h := testHome(t)
	write(t, filepath.Join(h.images(), "ami-again.json"), `{"id":"ami-again","created":"`+days(1).Format(time.RFC3339)+
		`","devices":[{"name":"/dev/xvda","snapshot":"snap-old"}]}`, days(1))
	_, _, removed := pruned(t, h, pruning{yes: true, images: true})
	same(t, removed, unused)
}

func TestPruneAsks(t *testing.T) {
	for answer, want := range map[string]int{"": 0, "n\n": 0, "no\n": 0, "Y\n": len(unused), "yes\n": len(unused)} {
		exit, out, removed := pruned(t, testHome(t), pruning{in: strings.NewReader(answer)})
		if len(removed) != want || (exit == 0) != (want > 0) || !strings.Contains(out, "[y/N]") {
			t.Errorf("%q: %d, removed %q\n%s", answer, exit, removed, out)
		}
	}
}

func TestPruneDryRun(t *testing.T) {
	exit, out, removed := pruned(t, testHome(t), pruning{dryRun: true})
	if exit != 0 || len(removed) > 0 || !strings.Contains(out, "trixie") || strings.Contains(out, "[y/N]") {
		t.Errorf("%d, removed %q\n%s", exit, removed, out)
	}
}

// While a lab runs, only what killed labs have left goes.
func TestPruneSparesARunningLab(t *testing.T) {
	h := testHome(t)
	write(t, filepath.Join(h.dir, "run/live/disks/i-2.img"), "disk", days(90))
	f, err := lock(filepath.Join(h.dir, "run/live/lock"), unix.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, out, removed := pruned(t, h, pruning{yes: true, images: true})
	same(t, removed, []string{"run/dead/disks/i-1.img"})
	if !strings.Contains(out, "A lab is running here") {
		t.Error(out)
	}
}

// A base image that somebody builds right now stays.
func TestPruneSparesABuild(t *testing.T) {
	h := testHome(t)
	f, err := lock(filepath.Join(h.dir, "base/el.lock"), unix.LOCK_EX)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out strings.Builder
	p := pruning{yes: true, out: &out, now: now, olderThan: age(30 * day)}
	if exit, err := p.run(h); err == nil || !strings.Contains(err.Error(), "build-el-123456") {
		t.Errorf("%d, %v\n%s", exit, err, out.String())
	}
	if !slices.Contains(files(t, h), "base/build-el-123456/root/file") {
		t.Error("the build's files were removed")
	}
}

func TestWhatALabKeepsIsSaid(t *testing.T) {
	h := testHome(t)
	got := h.summary()
	for _, want := range []string{h.dir, "2 base images (", "2 images (", "1 QEMU kernel (", "1 dead run (", "kB",
		"bakery-lab prune"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in: %s", want, got)
		}
	}
	empty := home{t.TempDir()}
	if got := empty.summary(); got != "keeps nothing in "+empty.dir {
		t.Error(got)
	}
}

func TestAges(t *testing.T) {
	for text, want := range map[string]time.Duration{"30d": 30 * day, "0d": 0, "12h": 12 * time.Hour} {
		var a age
		if err := a.Set(text); err != nil || time.Duration(a) != want {
			t.Errorf("%s: %v, %v", text, time.Duration(a), err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "-1h", "soon", "1.5d"} {
		var a age
		if err := a.Set(text); err == nil {
			t.Errorf("%q is accepted: %v", text, time.Duration(a))
		}
	}
}

func TestReadableSizes(t *testing.T) {
	for bytes, want := range map[int64]string{
		0: "0 kB", 1: "1 kB", 4096: "5 kB", 1_500_000: "1.5 MB", 2_100_000_000: "2.1 GB", 3e15: "3000.0 TB",
	} {
		if got := readable(bytes); got != want {
			t.Errorf("%d: %s, want %s", bytes, got, want)
		}
	}
}
