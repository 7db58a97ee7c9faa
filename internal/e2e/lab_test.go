// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
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

// lab is a running `bakery-lab serve`.
type lab struct {
	env    []string // what clients need: endpoint, credentials, region, ids
	homes  []string // where its images are
	values map[string]string
	bakes  *bakeIDs

	process *os.Process
	stop    func() error
}

// bakeIDs are the ids of the bakes of each test, as packer has printed them.
type bakeIDs struct {
	mu     sync.Mutex
	byTest map[string][]string
}

// add records the bakes that packer's output names.
func (b *bakeIDs) add(test, output string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range baked.FindAllStringSubmatch(output, -1) {
		b.byTest[test] = append(b.byTest[test], m[2])
	}
}

// of lists the bakes of a test and its subtests.
func (b *bakeIDs) of(test string) (ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, of := range b.byTest {
		if name == test || strings.HasPrefix(name, test+"/") {
			ids = append(ids, of...)
		}
	}
	return ids
}

var (
	startLab sync.Once
	theLab   *lab
	errLab   error
)

// sharedLab returns the lab that all tests share, started by the first test that asks. Machines reach the
// distribution's mirror, because examples install packages.
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

// serveIn starts a lab in a directory, which is removed when the lab stops, and as another user unless that is nil.
func serveIn(dir string, homes []string, as *syscall.Credential, program string, args ...string) (*lab, error) {
	file := filepath.Join(dir, "env")
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, append([]string{"serve", "--env-file", file}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(slices.Clip(hostEnvironment), homes...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	l := &lab{homes: homes, bakes: &bakeIDs{byTest: map[string][]string{}}, process: cmd.Process, stop: func() error {
		defer func() { _ = os.RemoveAll(dir) }()
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-ended:
			return err
		case <-time.After(time.Minute):
			_ = cmd.Process.Kill()
			return errors.New("bakery-lab serve did not end within a minute of SIGTERM")
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

// read reads NAME=value lines, with or without export and quotes.
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
		name, _, _ := strings.Cut(strings.ToLower(v), "=")
		return name == "http_proxy" || name == "https_proxy"
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
	words := slices.Concat(args, []string{"--output", "json", "--endpoint-url", l.values["AWS_ENDPOINT_URL"]})
	cmd := exec.CommandContext(t.Context(), packertest.AWSCLI(t), words...)
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
	var args []string
	for _, v := range vars {
		args = append(args, "-var", v)
	}
	return l.packerBuild(t, filepath.Dir(template), l.environ(t), append(args, template)...)
}

// packerBuild runs packer build in a directory when it is the test's turn to have a machine.
func (l *lab) packerBuild(t *testing.T, dir string, env []string, args ...string) packertest.Result {
	t.Helper()
	if l.process != nil {
		machineSlots.acquire(t)
	}
	began := time.Now()
	r := packertest.Run(t, dir, env, append([]string{packertest.Built(t).Packer, "build"}, args...)...)
	l.bakes.add(t.Name(), r.Output)
	t.Logf("packer build %s: exit status %d after %.1f s\n%s",
		args[len(args)-1], r.Code, time.Since(began).Seconds(), r.Output)
	return r
}

// bake is build for a bake that must succeed; it returns the image's id.
func (l *lab) bake(t *testing.T, name, template string, vars ...string) string {
	t.Helper()
	if r := l.build(t, template, vars...); r.Code != 0 {
		t.Fatalf("the bake failed")
	}
	return l.onlyImage(t, name)
}

// onlyImage returns the id of the one image that has a name.
func (l *lab) onlyImage(t *testing.T, name string) string {
	t.Helper()
	images := l.images(t, name)
	if len(images) != 1 {
		t.Fatalf("%d images are called %s", len(images), name)
	}
	return images[0]
}
