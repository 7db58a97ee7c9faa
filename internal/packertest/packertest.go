// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package packertest runs the real, pinned packer with this plugin in tests. It builds both with make build, and gives
// them an environment without the plugins, credentials and proxies of the person who runs the tests.
package packertest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// Programs are the paths of the programs that make build makes.
type Programs struct {
	Dir    string // bin/
	Packer string // packer, of the version pinned in tools/go.mod
	Plugin string // packer-plugin-bakery
	Lab    string // bakery-lab
}

// Built returns the programs. It builds them first, unless make has already done so and has set BAKERY_BIN.
func Built(tb testing.TB) Programs {
	tb.Helper()

	if err := buildOnce(); err != nil {
		tb.Fatal(err)
	}
	dir := os.Getenv("BAKERY_BIN")
	if dir == "" {
		dir = filepath.Join(Root(), "bin")
	}

	return Programs{
		Dir:    dir,
		Packer: filepath.Join(dir, "packer"),
		Plugin: filepath.Join(dir, "packer-plugin-bakery"),
		Lab:    filepath.Join(dir, "bakery-lab"),
	}
}

var buildOnce = sync.OnceValue(func() error { return build("make", "-C", Root(), "build") })

// build runs a program that builds into bin/, unless make has already done so and has set BAKERY_BIN.
func build(program string, args ...string) error {
	if os.Getenv("BAKERY_BIN") != "" {
		return nil
	}
	// Test binaries run at the same time, and would all write the same files.
	unlock, err := lock(filepath.Join(Root(), "bin", ".lock"))
	if err != nil {
		return fmt.Errorf("lock bin: %w", err)
	}
	defer unlock()

	out, err := exec.CommandContext(context.Background(), program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, out)
	}

	return nil
}

// Root returns the top of this repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0) //nolint:dogsled // only the path is of use

	return filepath.Join(filepath.Dir(file), "..", "..")
}

// Env returns an environment in which packer finds only this plugin: no credentials, its own home and temporary folder,
// and proxies that do not answer, so that every use of the network fails at once. Additions come last, and so replace
// other values.
func Env(tb testing.TB, additions ...string) []string {
	tb.Helper()

	home := tb.TempDir()
	env := []string{
		"PATH=" + Built(tb).Dir + ":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=" + home,
		"TMPDIR=" + tb.TempDir(),
		"PACKER_CONFIG_DIR=" + home,
		"PACKER_PLUGIN_PATH=" + filepath.Join(Built(tb).Dir, "plugins"),
		"CHECKPOINT_DISABLE=1",
		"PACKER_NO_COLOR=1",
		"AWS_EC2_METADATA_DISABLED=true",
	}
	// Port 9 is reserved for discard, and nothing listens on it.
	for _, name := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"} {
		env = append(env, name+"=http://127.0.0.1:9")
	}

	return append(env, additions...)
}

// Result is the exit status and the output of a program.
type Result struct {
	Code   int
	Output string // standard output and error together, in order
}

// Run runs a program in a folder with an environment, and returns its result. It fails the test when the program cannot
// be started.
func Run(tb testing.TB, dir string, env []string, argv ...string) Result {
	tb.Helper()

	var out bytes.Buffer
	code := Stream(tb, &out, dir, env, argv...)

	return Result{Code: code, Output: out.String()}
}

// Stream is like Run, but writes the output to out while the program runs.
func Stream(tb testing.TB, out io.Writer, dir string, env []string, argv ...string) int {
	tb.Helper()

	cmd := exec.CommandContext(tb.Context(), argv[0], argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, out, out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		tb.Fatalf("start %s: %v", argv[0], err)
	}

	return cmd.ProcessState.ExitCode()
}
