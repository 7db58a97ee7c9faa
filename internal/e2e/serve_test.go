// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// A lab that is interrupted before it is ready ends, and leaves nothing of the base image that it was building.
func TestServeEndsWhileItBuilds(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), packertest.Built(t).Lab, "serve")
	cmd.Env = append(packertest.Env(t), "BAKERY_LAB_HOME="+home, "BAKERY_LAB_BASE="+home)
	output, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	buffer := make([]byte, 1<<10)
	for !strings.Contains(said.String(), "\nI: ") && err == nil { // mmdebstrap's first lines
		var n int
		n, err = output.Read(buffer)
		said.Write(buffer[:n])
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Error(err)
	}
	_, _ = io.Copy(&said, output)
	if err := cmd.Wait(); err == nil || !strings.Contains(said.String(), "mmdebstrap: interrupted") {
		t.Errorf("%v, it says\n%s", err, said.String())
	}
	trees, err := filepath.Glob(filepath.Join(home, "base", "build-*"))
	if err != nil || len(trees) > 0 {
		t.Errorf("%v, left: %q", err, trees)
	}
	if _, err := os.Stat(filepath.Join(home, "base")); err != nil {
		t.Error(err) // else the test has looked at the wrong place
	}
}
