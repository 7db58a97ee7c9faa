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

// TestInterrupt interrupts a bake at several points, as a terminal does, which signals packer and its plugins. Nothing
// may be left.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	for _, at := range []string{"Uploading", "Launching", "60_app.cfg", "is being made"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			step := "echo at once"
			if at == "60_app.cfg" {
				step = "sleep 60" // the interrupt ends it
			}
			source := write(t, map[string]string{
				"fs/opt/blob": incompressible(20000), "cloudinit/60_app.cfg": "#cloud-config\nruncmd: [" + step + "]\n",
			})
			image := testName(t)
			r := l.interrupted(t, at, "-var", "name="+image, "-var", "source="+source, absolute(t, template))
			requireFailed(t, l, image, r.Code, r.Output, "cancelled")
			if left := l.leftovers(t); len(left) > 0 {
				t.Errorf("left behind: %v\n%s", left, r.Output)
			}
		})
	}
}

// interrupted runs packer build, and interrupts it and its plugins when it has printed a text, as a terminal does.
func (l *lab) interrupted(t *testing.T, at string, args ...string) packertest.Result {
	t.Helper()
	machineSlots.acquire(t)
	out := &trigger{text: at, hit: make(chan struct{})}
	cmd := exec.CommandContext(t.Context(), packertest.Built(t).Packer, append([]string{"build"}, args...)...)
	cmd.Env, cmd.Stdout, cmd.Stderr = l.environ(t), out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-out.hit:
	case <-time.After(5 * time.Minute):
		t.Errorf("packer never printed %q:\n%s", at, out)
	}
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the caller checks the exit status
	l.bakes.add(t.Name(), out.String())
	t.Logf("packer build: exit status %d\n%s", cmd.ProcessState.ExitCode(), out)
	return packertest.Result{Code: cmd.ProcessState.ExitCode(), Output: out.String()}
}

// trigger keeps what is written to it, and closes hit when that holds a text.
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

// TestAbort checks that -on-error=abort keeps the machine, and names everything it keeps.
func TestAbort(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	source := write(t, map[string]string{"cloudinit/60_app.cfg": "#cloud-config\nruncmd: [exit 3]\n"})
	r := l.packerBuild(t, t.TempDir(), l.environ(t), "-on-error=abort",
		"-var", "name="+image, "-var", "source="+source, absolute(t, template))
	requireFailed(t, l, image, r.Code, r.Output, "60_app.cfg runcmd[0] failed with exit status 3", "Not removed:")
	kept := map[string][]string{}
	for _, r := range l.leftovers(t) {
		kept[r.Kind] = append(kept[r.Kind], r.ID)
	}
	for kind, ids := range kept {
		for _, id := range ids {
			if kind != "volume" && !strings.Contains(r.Output, id) {
				t.Errorf("%s is kept and not named:\n%s", id, r.Output)
			}
		}
	}
	for _, id := range kept["instance"] {
		l.cli(t, "terminate", id)
		l.mustWaitFor(t, id, "")
	}
	for _, id := range kept["security-group"] {
		l.aws(t, nil, "ec2", "delete-security-group", "--group-id", id)
	}
	l.aws(t, nil, "s3", "rm", "--recursive", "s3://"+l.values["BAKERY_LAB_BUCKET"]+"/"+image)
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("not named: %v", left)
	}
}
