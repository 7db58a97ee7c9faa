// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// powerOff is what systemd takes as a wish for an orderly power-off,
// SIGRTMIN+4 of the C library (systemd(1)).
const powerOff = syscall.Signal(34 + 4)

// rebooted is systemd-nspawn's exit status when the machine wants to boot again
// and it is to keep the unit it runs in (EXIT_FORCE_RESTART in its source).
const rebooted = 133

// boot is one run of systemd-nspawn, from power-on to power-off or reboot.
type boot struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when systemd-nspawn was waited for
	err   error         // of waiting; after ended
}

// startBoot starts systemd-nspawn with args on terminal, inside the groups.
func startBoot(g groups, args []string, terminal *os.File) (*boot, error) {
	// A process can join its control groups only by itself or from outside; the
	// shell does it before it becomes systemd-nspawn, under the same process id.
	const join = `while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit; shift; done; shift; exec "$@"`
	argv := append([]string{"-c", join, "sh"}, g...)
	cmd := exec.Command("/bin/sh", append(append(argv, "--", "systemd-nspawn"), args...)...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"LANG=C.UTF-8",
		"TERM=vt220",                         // what a serial console is
		"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", // control groups as on an EC2 instance, also where the host's are older
		"SYSTEMD_NSPAWN_TMPFS_TMP=0",         // /tmp is on the disk unless the machine itself mounts something
		"SYSTEMD_TINT_BACKGROUND=0",          // no colours of systemd-nspawn's own (256 and later)
		"SYSTEMD_ADJUST_TERMINAL_TITLE=0",
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start systemd-nspawn: %w", err)
	}
	b := &boot{cmd: cmd, ended: make(chan struct{})}
	go func() {
		b.err = cmd.Wait()
		close(b.ended)
	}()
	return b, nil
}

// children gives systemd-nspawn's child processes. After the first moments it
// is one, the machine's PID 1.
func (b *boot) children() []int {
	pid := strconv.Itoa(b.cmd.Process.Pid)
	list, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	var pids []int
	for f := range strings.FieldsSeq(string(list)) {
		if child, err := strconv.Atoi(f); err == nil {
			pids = append(pids, child)
		}
	}
	return pids
}

// kill returns when systemd-nspawn and everything in the machine are gone. PID
// 1 of the machine goes first: killing systemd-nspawn alone would leave it.
func (b *boot) kill() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	// A systemd-nspawn that does not notice that its machine is gone is killed, too.
	stubborn := time.After(5 * time.Second)
	for {
		for _, pid := range b.children() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		select {
		case <-b.ended:
			return
		case <-tick.C:
		case <-stubborn:
			_ = b.cmd.Process.Kill()
		}
	}
}

// powerOff asks for an orderly power-off until ctx ends or the machine has. It
// asks again and again: a systemd that has just started does not listen yet,
// and asking twice is no more than asking once.
func (b *boot) powerOff(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		for _, pid := range b.children() {
			if isInit(pid) {
				_ = syscall.Kill(pid, powerOff)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-b.ended:
			return
		case <-tick.C:
		}
	}
}

// isInit says whether pid is PID 1 in a namespace of its own, and not one of
// systemd-nspawn's helpers, whom a signal would end.
func isInit(pid int) bool {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if ids, ok := strings.CutPrefix(line, "NSpid:"); ok {
			fields := strings.Fields(ids)
			return len(fields) > 1 && fields[len(fields)-1] == "1"
		}
	}
	return false
}

// errBooting is Exec's answer before the machine has a PID 1.
var errBooting = errors.New("the machine has no PID 1 yet or any more")

// exec runs argv as root in the namespaces of the machine's PID 1.
func (b *boot) exec(ctx context.Context, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	for _, pid := range b.children() {
		if !isInit(pid) {
			continue
		}
		args := []string{"--target=" + strconv.Itoa(pid), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd", "--"}
		cmd := exec.CommandContext(ctx, "nsenter", append(args, argv...)...)
		cmd.Env = []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"HOME=/root", "USER=root", "LOGNAME=root", "LANG=C.UTF-8", "TERM=dumb",
		}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
		// nsenter's child is the command; both are ended, and what the command
		// leaves in the background does not keep its streams.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = time.Second
		return cmd.Run()
	}
	return errBooting
}
