// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machinelog

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestNewestLogsOfFailedBakesAreKept(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("PACKER_CACHE_DIR", cache)
	dir := filepath.Join(cache, "bakery-logs")
	write := func(name string, age time.Duration) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	others := []string{"notes.log", "a-0123456789abcdef.log.gz", "a-0123456789ABCDEF.log", "-0123456789abcdef.log"}
	for _, name := range others {
		write(name, 1000*time.Hour)
	}
	const more = 5
	for n := range keptLogs + more {
		write(fmt.Sprintf("a-%016x.log", n), time.Duration(n)*time.Hour)
	}
	var c LogConfig
	path, err := c.FailurePath("a/b (1)", "0123456789abcdef")
	if want := filepath.Join(dir, "a-b (1)-0123456789abcdef.log"); err != nil || path != want {
		t.Errorf("the log is %s, %v, want %s", path, err, want)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	want := slices.Clone(others)
	for n := range keptLogs - 1 { // and the new one
		want = append(want, fmt.Sprintf("a-%016x.log", n))
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

func TestNamedLogFileIsUsedAsItIs(t *testing.T) {
	c := LogConfig{LogFile: "x/y.log"}
	if path, err := c.FailurePath("a", "0123456789abcdef"); path != "x/y.log" || err != nil {
		t.Errorf("the log is %s, %v", path, err)
	}
}

func TestNameOfImageIsNameOfFile(t *testing.T) {
	for name, want := range map[string]string{"": "image", "../a": "..-a", "a\x00b": "a-b", `c:\d`: "c--d"} {
		if got := fileName(name); got != want {
			t.Errorf("%q became %q, want %q", name, got, want)
		}
	}
}
