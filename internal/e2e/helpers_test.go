// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	labserver "github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// absolute returns the absolute path of a file.
func absolute(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// example returns the path of a file below example/.
func example(path string) string { return filepath.Join(packertest.Root(), "example", path) }

// incompressible returns n bytes that gzip cannot make smaller, always the same.
func incompressible(n int) string {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	_, _ = r.Read(b)
	return string(b)
}

// bigFileSize is the size of the large file of TestFS and TestLiveLarge, in bytes.
func bigFileSize() int64 {
	if *largeFiles {
		return 1 << 30
	}
	return 256 << 20
}

// randomFile writes a file that no compression makes smaller and returns its sha256.
func randomFile(t *testing.T, path string, size int64) string {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	_, err = io.CopyN(io.MultiWriter(f, sum), rand.NewChaCha8([32]byte{2}), size)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// compile returns the checksum and size of the fs.tgz that a source compiles to.
func (l *lab) compile(t *testing.T, source string) (sum string, size int64) {
	t.Helper()
	b, err := bundle.Compile(t.Context(), bundle.Options{Source: source, Target: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return b.FS.SHA256, b.FS.Size
}

// boot starts an image as a new instance with user data of its own, waits until cloud-init has finished there, and
// ends it when the test does.
func (l *lab) boot(t *testing.T, image, userData string) string {
	t.Helper()
	machineSlots.acquire(t)
	file := filepath.Join(t.TempDir(), "user-data")
	if err := os.WriteFile(file, []byte(userData), 0o600); err != nil {
		t.Fatal(err)
	}
	env := l.environ(t)
	out := l.cli(t, "boot", image, "--user-data", file, "--wait", "--timeout", "20m")
	instance := out[strings.LastIndex(out, "i-"):]
	instance, _, _ = strings.Cut(instance, "\n")
	t.Cleanup(func() {
		// The test's own context has ended by now.
		cmd := exec.Command(packertest.Built(t).Lab, "terminate", instance)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("bakery-lab terminate %s: %v\n%s", instance, err, out)
		}
	})
	return instance
}

// sh runs a script as root on an instance and returns what it printed.
func (l *lab) sh(t *testing.T, instance, script string) string {
	t.Helper()
	out, err := l.exec(t, instance, "sh", "-c", script)
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return out
}

// exec runs a command as root on an instance and returns what it printed.
func (l *lab) exec(t *testing.T, instance string, argv ...string) (string, error) {
	t.Helper()
	query := url.Values{"instance": {instance}, "arg": argv}
	answer, err := l.request(t.Context(), http.MethodPost, "exec?"+query.Encode(), "")
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var out bytes.Buffer
	status, err := labserver.ReadExec(answer.Body, &out, &out)
	if err == nil && status != 0 {
		err = fmt.Errorf("exit status %d", status)
	}
	return strings.TrimSpace(out.String()), err
}
