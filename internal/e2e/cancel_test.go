// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bytes"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// TestInterrupt: an interrupt at any point of a bake, as a terminal sends it to packer and its plugins, leaves nothing.
func TestInterrupt(t *testing.T) {
	l := sharedLab(t)
	source := write(t, map[string]string{"fs/opt/blob": incompressible(20000), "cloudinit/60_app.cfg": "#cloud-config\nruncmd: [sleep 20]\n"})
	for _, at := range []string{"Uploading", "Launching", "60_app.cfg", "is being made"} {
		t.Run(at, func(t *testing.T) {
			image := testName(t)
			r := l.interrupted(t, at, "-var", "name="+image, "-var", "source="+source, absolute(t, template))
			requireFailed(t, l, image, r.Code, r.Output, []string{"cancelled"})
			if left := append(l.leftovers(t), l.orphans(t)...); len(left) > 0 {
				t.Errorf("left behind: %v\n%s", left, r.Output)
			}
		})
	}
}

// interrupted runs packer build, and interrupts it and its plugins, as a terminal does, when it has said a text.
func (l *lab) interrupted(t *testing.T, at string, args ...string) packertest.Result {
	t.Helper()
	out := &trigger{text: at, hit: make(chan struct{})}
	cmd := exec.CommandContext(t.Context(), packertest.Built(t).Packer, append([]string{"build"}, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = l.environ(t), out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-out.hit:
	case <-time.After(2 * time.Minute):
		t.Errorf("packer never said %q:\n%s", at, out)
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // what it exited with is for the caller to judge
	return packertest.Result{Code: cmd.ProcessState.ExitCode(), Output: out.String()}
}

// trigger keeps what is written to it, and tells when a text is there.
type trigger struct {
	text string
	hit  chan struct{}

	mu   sync.Mutex
	seen bytes.Buffer
	once sync.Once
}

func (w *trigger) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen.Write(p)
	if strings.Contains(w.seen.String(), w.text) {
		w.once.Do(func() { close(w.hit) })
	}
	return len(p), nil
}

func (w *trigger) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen.String()
}

// TestAbort: -on-error=abort leaves the machine, and says what it left.
func TestAbort(t *testing.T) {
	l := sharedLab(t)
	image := testName(t)
	source := write(t, map[string]string{"cloudinit/60_app.cfg": "#cloud-config\nruncmd: [exit 3]\n"})
	r := packertest.Run(t, t.TempDir(), l.environ(t), packertest.Built(t).Packer, "build", "-on-error=abort",
		"-var", "name="+image, "-var", "source="+source, absolute(t, template))
	requireFailed(t, l, image, r.Code, r.Output, []string{"60_app.cfg runcmd[0] failed with exit status 3", "Not removed:"})
	left := l.leftovers(t)
	for _, id := range left {
		if !strings.HasPrefix(id, "vol-") && !strings.Contains(r.Output, id) {
			t.Errorf("%s is left and not told of:\n%s", id, r.Output)
		}
	}
	for _, kind := range []string{"i-", "sg-"} {
		for _, id := range left {
			switch {
			case !strings.HasPrefix(id, kind):
			case kind == "i-":
				l.cli(t, "terminate", id)
			default:
				l.aws(t, nil, "ec2", "delete-security-group", "--group-id", id)
			}
		}
	}
	l.aws(t, nil, "s3", "rm", "--recursive", "s3://"+l.values["BAKERY_LAB_BUCKET"]+"/"+image)
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("not told of: %v", left)
	}
}
