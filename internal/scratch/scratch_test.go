// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package scratch

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// entries returns the names in a directory.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	all, err := os.ReadDir(dir)
	must(t, err)
	var names []string
	for _, e := range all {
		names = append(names, e.Name())
	}
	return names
}

// TestMain lets a test start this program as another process of the plugin, which waits to be killed.
func TestMain(m *testing.M) {
	parent := os.Getenv("SCRATCH_TEST_IN")
	if parent == "" {
		os.Exit(m.Run())
	}
	dir, err := In(parent)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir.Path, "secret"), []byte("of a process"), 0o600)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(dir)
	time.Sleep(time.Hour)
	fmt.Println(dir) // it is in use until here
}

// startProcess starts a process with a directory, and returns the directory and what kills the process.
func startProcess(t *testing.T, parent string) (dir string, kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "SCRATCH_TEST_IN="+parent)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	kill = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	t.Cleanup(kill)
	return strings.TrimSpace(line), kill
}

func TestDirectoryIsPrivateAndRemoved(t *testing.T) {
	parent := t.TempDir()
	dir, err := In(parent)
	must(t, err)
	for path, want := range map[string]fs.FileMode{
		dir.String(): 0o700, dir.Path: 0o700, filepath.Join(dir.String(), markerName): 0o600,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: mode %s, want %s, error %v", path, info.Mode(), want, err)
		}
	}
	must(t, os.MkdirAll(filepath.Join(dir.Path, "a/b"), 0o700))
	must(t, os.Chmod(filepath.Join(dir.Path, "a"), 0o500))
	must(t, dir.Remove())
	must(t, dir.Remove()) // again
	if left := entries(t, parent); left != nil {
		t.Errorf("left: %q", left)
	}
}

func TestNextRunRemovesWhatKilledProcessesLeft(t *testing.T) {
	parent := t.TempDir()
	alive, _ := startProcess(t, parent)
	killed, kill := startProcess(t, parent)
	half, killHalf := startProcess(t, parent) // while it removed its directory
	kill()
	killHalf()
	must(t, os.RemoveAll(filepath.Join(half, filesName)))
	if _, err := os.Stat(filepath.Join(killed, filesName, "secret")); err != nil {
		t.Fatalf("nothing is left by the killed process: %v", err)
	}
	own, err := In(parent)
	must(t, err)
	Sweep(parent) // its own directory stays too
	want := map[string]bool{filepath.Base(alive): true, filepath.Base(own.String()): true}
	for _, name := range entries(t, parent) {
		if !want[name] {
			t.Errorf("%s stays", name)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("removed although its process is alive: %v", want)
	}
	must(t, own.Remove())
}

// leave makes a directory as a dead process leaves it.
func leave(t *testing.T, parent string) string {
	t.Helper()
	dir, err := In(parent)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir.Path, "secret"), nil, 0o600))
	must(t, dir.lock.Close())
	return dir.String()
}

func TestSweepKeepsWhatIsNotOurs(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, parent, dir string){
		"no marker": func(t *testing.T, _, dir string) { must(t, os.Remove(filepath.Join(dir, markerName))) },
		"a marker that says something else": func(t *testing.T, _, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, markerName), []byte(strings.ToUpper(markerText)), 0o600))
		},
		"a marker that is a link": func(t *testing.T, parent, dir string) {
			marker := filepath.Join(dir, markerName)
			must(t, os.Rename(marker, filepath.Join(parent, "elsewhere")))
			must(t, os.Symlink(filepath.Join(parent, "elsewhere"), marker))
		},
		"a marker that is a directory": func(t *testing.T, _, dir string) {
			must(t, os.Remove(filepath.Join(dir, markerName)))
			must(t, os.Mkdir(filepath.Join(dir, markerName), 0o700))
		},
		"a marker without a name yet": func(t *testing.T, _, dir string) {
			must(t, os.Rename(filepath.Join(dir, markerName), filepath.Join(dir, newMarker)))
		},
		"a mode that lets others in": func(t *testing.T, _, dir string) { must(t, os.Chmod(dir, 0o755)) },
		"another owner": func(t *testing.T, _, dir string) {
			if os.Geteuid() != 0 {
				if os.Getenv("CI") == "true" {
					t.Fatal("only root can give files away: run the tests as root")
				}
				t.Skip("only root can give files away")
			}
			must(t, os.Chown(dir, 12345, 12345))
		},
		"another name": func(t *testing.T, parent, dir string) {
			must(t, os.Rename(dir, filepath.Join(parent, prefix+"mine")))
		},
		"a link to a directory of ours": func(t *testing.T, parent, dir string) {
			must(t, os.Rename(dir, filepath.Join(parent, "elsewhere")))
			must(t, os.Symlink(filepath.Join(parent, "elsewhere"), dir))
		},
		"a file": func(t *testing.T, parent, dir string) {
			must(t, os.RemoveAll(dir))
			must(t, os.WriteFile(dir, []byte(markerText), 0o700))
		},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			change(t, parent, leave(t, parent))
			before := tree(t, parent)
			Sweep(parent)
			if diff := cmp.Diff(before, tree(t, parent)); diff != "" {
				t.Errorf("the sweep changed it (-before +after):\n%s", diff)
			}
		})
	}
}

func tree(t *testing.T, dir string) (all []string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		all = append(all, fmt.Sprint(path, " ", d.Type()))
		return err
	}))
	return all
}

func TestSweepDoesNotFollowLinksInADirectory(t *testing.T) {
	parent, precious := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(filepath.Join(precious, "file"), nil, 0o400))
	must(t, os.Chmod(precious, 0o500))
	dir := leave(t, parent)
	locked := filepath.Join(dir, filesName, "locked")
	must(t, os.Mkdir(locked, 0o700))
	must(t, os.Symlink(precious, filepath.Join(locked, "link")))
	must(t, os.Symlink(precious, filepath.Join(dir, filesName, "link")))
	must(t, os.Chmod(locked, 0o500))
	Sweep(parent)
	if left := entries(t, parent); left != nil {
		t.Errorf("left: %q", left)
	}
	info, err := os.Stat(precious)
	if err != nil || info.Mode().Perm() != 0o500 || len(entries(t, precious)) != 1 {
		t.Errorf("what a link leads to has changed: %v, %v", info, err)
	}
}

func TestManySweepsAtOnceDoNotDisturbEachOther(t *testing.T) {
	parent := t.TempDir()
	for range 20 {
		leave(t, parent)
	}
	failures := make(chan error)
	const processes = 8
	for range processes {
		go func() {
			var errs []error
			for range 20 {
				d, err := In(parent)
				if err == nil {
					err = errors.Join(os.WriteFile(filepath.Join(d.Path, "x"), nil, 0o600), d.Remove())
				}
				errs = append(errs, err)
			}
			failures <- errors.Join(errs...)
		}()
	}
	for range processes {
		if err := <-failures; err != nil {
			t.Error(err)
		}
	}
	if left := entries(t, parent); left != nil {
		t.Errorf("left: %q", left)
	}
}

func TestSweepIgnoresWhatItCannotRead(t *testing.T) {
	Sweep(filepath.Join(t.TempDir(), "missing"))
	if _, err := In(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the error is %v", err)
	}
}

func TestFileHasNoName(t *testing.T) {
	parent := t.TempDir()
	t.Setenv("TMPDIR", parent)
	f, err := NewFile()
	must(t, err)
	if left := entries(t, parent); left != nil {
		t.Errorf("a kill would leave %q", left)
	}
	if _, err := f.WriteString("text"); err != nil {
		t.Error(err)
	}
	must(t, f.Close())
}
