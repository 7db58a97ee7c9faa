// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package e2e bakes real images: the real packer, this plugin, and the lab's machines, which boot systemd and
// cloud-init. Everything is read back with awscli, a client that is not ours.
package e2e

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

var (
	guests = flag.String("guests", "bookworm", "the Debian suites TestGuests bakes on, with commas between")
	full   = flag.Bool("full", false, "run all of a test of which `make test` runs a part")
)

// lab is one `bakery-lab serve` for all tests of this package.
type lab struct {
	env    []string // what clients need: endpoint, credentials, region, ids
	homes  []string // where its images are
	values map[string]string

	process *os.Process
	stop    func() error
}

var (
	startLab sync.Once
	theLab   *lab
	errLab   error
)

func TestMain(m *testing.M) {
	code := m.Run()
	if theLab != nil {
		if err := theLab.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the lab:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// sharedLab returns the lab, started by the first test that asks. Machines reach the distribution's mirror, because
// examples install packages.
func sharedLab(t *testing.T) *lab {
	t.Helper()
	startLab.Do(func() { theLab, errLab = serve(packertest.Built(t).Lab, "--internet") })
	if errLab != nil {
		t.Fatal(errLab)
	}
	return theLab
}

// serve starts a lab and waits until it has written what clients need.
func serve(program string, args ...string) (*lab, error) {
	dir, err := os.MkdirTemp("", "bakery-e2e-")
	if err != nil {
		return nil, err
	}
	homes, err := labHomes(dir)
	if err != nil {
		return nil, err
	}
	return serveIn(dir, homes, nil, program, args...)
}

// serveIn is serve in a directory, which goes with the lab, and as another user unless that is nil.
func serveIn(dir string, homes []string, as *syscall.Credential, program string, args ...string) (*lab, error) {
	file := filepath.Join(dir, "env")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, append([]string{"serve", "--env-file", file}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), homes...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	l := &lab{homes: homes, process: cmd.Process, stop: func() error {
		defer func() { _ = os.RemoveAll(dir) }()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			return err
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			return fmt.Errorf("bakery-lab serve did not end within a minute of SIGTERM")
		}
	}}
	// The first start builds the base image, which takes a minute or two where the mirror is slow.
	for deadline := time.After(10 * time.Minute); ; {
		if l.read(file) == nil {
			return l, nil
		}
		select {
		case err := <-ended:
			text, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("bakery-lab serve ended: %w\n%s", err, text)
		case <-deadline:
			return nil, fmt.Errorf("bakery-lab serve was not ready within ten minutes: see %s", log.Name())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// read takes NAME=value lines, with or without export and quotes.
func (l *lab) read(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	l.values = map[string]string{}
	for s := bufio.NewScanner(f); s.Scan(); {
		name, value, ok := strings.Cut(strings.TrimPrefix(s.Text(), "export "), "=")
		if ok {
			l.values[name] = strings.Trim(value, `'"`)
		}
	}
	if l.values["AWS_ENDPOINT_URL"] == "" {
		return fmt.Errorf("%s: no AWS_ENDPOINT_URL yet", file)
	}
	l.env = nil
	for _, name := range slices.Sorted(maps.Keys(l.values)) {
		l.env = append(l.env, name+"="+l.values[name])
	}
	return nil
}

// environ is the environment of a program that talks to the lab and to nothing else.
func (l *lab) environ(t *testing.T) []string {
	t.Helper()
	env := slices.DeleteFunc(packertest.Env(t, l.env...), func(v string) bool {
		return strings.HasPrefix(strings.ToLower(v), "http_proxy=") || strings.HasPrefix(strings.ToLower(v), "https_proxy=")
	})
	return append(env, l.homes...)
}

// labHomes keeps the images of a test run apart from the person's own, but not the base images, which take minutes.
func labHomes(dir string) ([]string, error) {
	base := os.Getenv("BAKERY_LAB_BASE")
	if base == "" {
		base = os.Getenv("BAKERY_LAB_HOME")
	}
	if base == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		base = filepath.Join(cache, "bakery-lab")
	}
	return []string{"BAKERY_LAB_HOME=" + filepath.Join(dir, "home"), "BAKERY_LAB_BASE=" + base}, nil
}

// cli runs bakery-lab and returns what it printed.
func (l *lab) cli(t *testing.T, args ...string) string {
	t.Helper()
	r := packertest.Run(t, t.TempDir(), l.environ(t), append([]string{packertest.Built(t).Lab}, args...)...)
	if r.Code != 0 {
		t.Fatalf("bakery-lab %s: exit status %d\n%s", strings.Join(args, " "), r.Code, r.Output)
	}
	return strings.TrimSpace(r.Output)
}

// aws runs awscli and decodes what it prints into out, unless out is nil.
func (l *lab) aws(t *testing.T, out any, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), packertest.AWSCLI(t), append(args, "--output", "json", "--endpoint-url", l.values["AWS_ENDPOINT_URL"])...)
	cmd.Env = append(l.environ(t), "AWS_PAGER=")
	text, err := cmd.Output()
	if err != nil {
		var stderr []byte
		if e, ok := err.(*exec.ExitError); ok { //nolint:errorlint // exec returns it as it is
			stderr = e.Stderr
		}
		t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			t.Fatalf("aws %s printed %s: %v", strings.Join(args, " "), text, err)
		}
	}
	return string(text)
}

// build runs packer build on the lab.
func (l *lab) build(t *testing.T, template string, vars ...string) packertest.Result {
	t.Helper()
	argv := []string{packertest.Built(t).Packer, "build"}
	for _, v := range vars {
		argv = append(argv, "-var", v)
	}
	r := packertest.Run(t, filepath.Dir(template), l.environ(t), append(argv, template)...)
	t.Logf("packer build %s: exit status %d\n%s", template, r.Code, r.Output)
	return r
}

// bake is build for a bake that must succeed; it returns the image's id.
func (l *lab) bake(t *testing.T, name, template string, vars ...string) string {
	t.Helper()
	if r := l.build(t, template, vars...); r.Code != 0 {
		t.Fatalf("the bake failed")
	}
	images := l.images(t, name)
	if len(images) != 1 {
		t.Fatalf("%d images are called %s", len(images), name)
	}
	return images[0]
}

// images lists the ids of the images of a name, in whatever state.
func (l *lab) images(t *testing.T, name string) []string {
	t.Helper()
	var ids []string
	l.aws(t, &ids, "ec2", "describe-images", "--owners", "self", "--filters", "Name=name,Values="+name, "--query", "Images[].ImageId")
	return ids
}

// leftovers lists what an ended bake must not leave. Images and their snapshots are asked for by name elsewhere.
func (l *lab) leftovers(t *testing.T) []string {
	t.Helper()
	var left []string
	for _, args := range [][]string{
		{"ec2", "describe-instances", "--filters", "Name=instance-state-name,Values=pending,running,stopping,stopped,shutting-down", "--query", "Reservations[].Instances[].InstanceId"},
		{"ec2", "describe-volumes", "--query", "Volumes[].VolumeId"},
		{"ec2", "describe-security-groups", "--query", "SecurityGroups[?GroupName!='default'].GroupId"},
		{"ec2", "describe-key-pairs", "--query", "KeyPairs[].KeyName"},
		{"s3api", "list-objects-v2", "--bucket", l.values["BAKERY_LAB_BUCKET"], "--query", "Contents[].Key || `[]`"},
	} {
		var ids []string
		l.aws(t, &ids, args...)
		left = append(left, ids...)
	}
	return left
}

// orphans lists snapshots of ours that belong to no image.
func (l *lab) orphans(t *testing.T) []string {
	t.Helper()
	var used, all []string
	l.aws(t, &used, "ec2", "describe-images", "--query", "Images[].BlockDeviceMappings[].Ebs.SnapshotId")
	l.aws(t, &all, "ec2", "describe-snapshots", "--owner-ids", "self", "--query", "Snapshots[].SnapshotId")
	return slices.DeleteFunc(all, func(id string) bool { return slices.Contains(used, id) })
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

// testName makes an image name that no other run of a test has.
func testName(t *testing.T) string {
	t.Helper()
	return strings.NewReplacer("/", "-", " ", "-").Replace(t.Name()) + "-" + fmt.Sprint(time.Now().UnixNano())
}
