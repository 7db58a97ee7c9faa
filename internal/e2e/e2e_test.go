// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package e2e bakes real images: the real packer, this plugin, and the lab's machines, which boot systemd and
// cloud-init. What a template sets is read back with awscli, a client that is not ours.
//
// The tests wait for machines most of the time, so all of them run in parallel. Those with real machines share one lab
// (sharedLab); slots limit how many machines run at once. A test finds what it left behind by its own name, see
// leftovers.
package e2e

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

var (
	guests     = flag.String("guests", "bookworm", "the Debian suites of tests that use several, with commas between")
	largeFiles = flag.Bool("large", false, "use files of 1 GiB in TestFS and TestLiveLarge, instead of 256 MiB")
	full       = flag.Bool("full", false, "run the full length of the tests that make test-more runs in a short form")
)

// A machine needs about four seconds of one processor to boot and to bake, and waits otherwise. More tests at once than
// this keep the processors no busier, but come nearer to their time limits.
var (
	machineSlots = newSlots("machines", 3*runtime.GOMAXPROCS(0), "how many tests may have real machines at once")
	labSlots     = newSlots("labs", 6*runtime.GOMAXPROCS(0), "how many tests may have a lab in this process at once")
)

// hostEnvironment is the environment that the tests were started with. TestMain removes everything about AWS from the
// environment of this process.
var hostEnvironment = os.Environ()

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "bakery-e2e-config-")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		err = isolateSDK(filepath.Join(dir, "config"))
	}
	if err == nil {
		err = flag.Set("test.parallel", "1000") // slots are the limit
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if theLab == nil {
		return code
	}
	if code == 0 {
		code = checkNothingLeft(theLab)
	}
	if err := theLab.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stopping the lab:", err)
		return 1
	}
	return code
}

// isolateSDK keeps the AWS SDK of this process from everything but the labs of the tests: it reads this file, which has
// a profile for each lab, and nothing else.
func isolateSDK(configFile string) error {
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if strings.HasPrefix(name, "AWS_") || strings.HasSuffix(strings.ToLower(name), "_proxy") {
			if err := os.Unsetenv(name); err != nil {
				return err
			}
		}
	}
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE": configFile, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return os.WriteFile(configFile, nil, 0o600)
}

// checkNothingLeft returns exit status 1 when something is left in the lab after all tests, whoever made it.
func checkNothingLeft(l *lab) int {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	left, err := l.findLeftovers(ctx, func(resource) bool { return true })
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, r := range left {
		fmt.Fprintf(os.Stderr, "FAIL: left behind after all tests: %s, tags %v\n", r, r.Tags)
	}
	return min(len(left), 1)
}

// testName makes an image name that no other run of a test has.
func testName(t *testing.T) string {
	t.Helper()
	return namePrefix(t) + fmt.Sprint(time.Now().UnixNano())
}

// namePrefix is what the names of all images of a test and of its subtests begin with.
func namePrefix(t *testing.T) string {
	t.Helper()
	return strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()) + "-"
}

// write makes files below a new folder; a name that ends in .sh is executable.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, ".sh") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
