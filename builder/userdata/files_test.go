// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func TestMain(m *testing.M) {
	// The SDK's own loader is part of what is tested, so it must not see the configuration of whoever runs the tests.
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIDTESTTESTTEST",
		"AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
		"AWS_CONFIG_FILE":       os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_EC2_METADATA_DISABLED": "true",
	} {
		_ = os.Setenv(name, value)
	}
	flag.Parse()
	os.Exit(m.Run())
}

// checkGolden compares a text with a file below testdata.
func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// randomBytes returns bytes that no compression makes fewer.
func randomBytes(size int) []byte {
	content := make([]byte, size)
	_, _ = rand.Read(content)
	return content
}

// writeRandomFile writes a file that no compression makes smaller, and returns its path.
func writeRandomFile(t *testing.T, size int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "noise")
	writeFile(t, path, string(randomBytes(size)))
	return path
}

// writeImageSource writes an Image-Source with so many random bytes in fs/, and returns its directory.
func writeImageSource(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"ami.env":             "NAME=hello\nVERSION=1.2\n",
		"readme.md":           "A test.\n",
		"script/install.sh":   "#!/bin/sh\ntrue\n",
		"cloudinit/60_a.cfg":  "#cloud-config\nruncmd: [ 'true' ]\n",
		"fs/opt/hello/noise":  string(randomBytes(size)),
		"fs/etc/hello.config": "x\n",
	} {
		writeFile(t, filepath.Join(dir, name), content)
	}
	return dir
}

// writeFile writes an executable file and the directories above it.
func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}
