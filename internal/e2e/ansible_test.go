// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// ansiblePlugin is the file name of the program in the folder ansible, as Packer looks for it.
var ansiblePlugin = fmt.Sprintf("packer-plugin-ansible_v1.1.4_x5.0_%s_%s", runtime.GOOS, runtime.GOARCH)

// withAnsible copies a plugin path, adds packer-plugin-ansible and returns the new path.
func withAnsible(t *testing.T, plugins string) string {
	t.Helper()
	dir := t.TempDir()
	for _, known := range []string{"github.com/amibakery", "github.com/hashicorp/amazon"} {
		if from, err := os.Stat(filepath.Join(plugins, known)); err == nil && from.IsDir() {
			if err := os.CopyFS(filepath.Join(dir, known), os.DirFS(filepath.Join(plugins, known))); err != nil {
				t.Fatal(err)
			}
		}
	}
	program := filepath.Join(dir, "github.com", "hashicorp", "ansible", ansiblePlugin)
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", program,
		"./ansible")
	build.Env = append(slices.Clip(hostEnvironment), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build packer-plugin-ansible: %v\n%s", err, out)
	}
	content, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(content)
	if err := os.WriteFile(program+"_SHA256SUM", []byte(hex.EncodeToString(sum[:])), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// bakeryPlugins is the folder that make build installs this plugin into.
func bakeryPlugins(t *testing.T) string {
	t.Helper()
	return filepath.Join(packertest.Built(t).Dir, "plugins")
}
