// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package initrd

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestWriteWritesACpioArchive tests the archive only: with the race detector, the test binary is linked with a C
// library, so that Write refuses it.
func TestWriteWritesACpioArchive(t *testing.T) {
	var b bytes.Buffer
	a := &archive{w: &b}
	a.add(entry{name: "dev", mode: modeDir | 0o755})
	a.add(entry{name: "dev/console", mode: modeDevice | 0o600, major: 5, minor: 1})
	a.add(entry{name: "a", mode: modeFile | 0o640, content: []byte("abc")})
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"070701000000010000" + "41ed", "dev\x00",
		"070701000000020000" + "2180", "00000005" + "00000001" + "0000000c" + "00000000" + "dev/console\x00",
		"070701000000030000" + "81a0", "a\x00", "abc\x00",
		"TRAILER!!!\x00",
	}
	rest := b.String()
	for _, part := range want {
		at := strings.Index(rest, part)
		if at < 0 {
			t.Fatalf("%q is not where it should be in %q", part, b.String())
		}
		if at += b.Len() - len(rest); (part[0] == '0' && len(part) == 22 || part == "abc\x00") && at%4 != 0 {
			t.Errorf("%q is at byte %d, no multiple of four", part, at)
		}
		rest = b.String()[at+len(part):]
	}
}

func TestWriteRefusesADynamicallyLinkedProgram(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := (Program{sh, elf.EM_X86_64}).check(); err == nil || !strings.Contains(err.Error(), "CGO_ENABLED=0") {
		t.Errorf("/bin/sh: %v", err)
	}
	own := filepath.Join(t.TempDir(), "own")
	source := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", own, source)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=amd64")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := (Program{own, elf.EM_X86_64}).check(); err != nil {
		t.Errorf("a static program: %v", err)
	}
	if err := (Program{own, elf.EM_AARCH64}).check(); err == nil || !strings.Contains(err.Error(), "EM_X86_64") {
		t.Errorf("a program of another architecture: %v", err)
	}
}
