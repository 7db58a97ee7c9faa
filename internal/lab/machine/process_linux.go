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
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// powerOff is the signal at which systemd powers off: SIGRTMIN+4 of the C library (systemd(1)).
const powerOff = syscall.Signal(34 + 4)

// rebooted is systemd-nspawn's exit status when the machine reboots and systemd-nspawn has been told to keep its unit
// (EXIT_FORCE_RESTART in its source).
const rebooted = 133

// boot is one run of systemd-nspawn, from power-on to power-off or reboot.
type boot struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when systemd-nspawn has ended
	err   error         // of waiting for it; set before ended is closed
}

// joining returns a command that joins control groups and then becomes another command, with the same process id: a
// process can join them only by itself or from outside.
func joining(g groups, argv []string) []string {
	const join = `while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit; shift; done; shift; exec "$@"`
	return slices.Concat([]string{"/bin/sh", "-c", join, "sh"}, g, []string{"--"}, argv)
}

// startBoot starts systemd-nspawn on a terminal, in the groups.
func startBoot(g groups, args []string, terminal *os.File) (*boot, error) {
	argv := joining(g, append([]string{"systemd-nspawn"}, args...))
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"LANG=C.UTF-8",
		"TERM=vt220", // as on a serial console
		// control groups as on an EC2 instance, also where this computer has older ones
		"SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1",
		"SYSTEMD_NSPAWN_TMPFS_TMP=0", // /tmp is on the disk, unless the machine itself mounts something there
		"SYSTEMD_TINT_BACKGROUND=0",  // no colours of systemd-nspawn (256 and later)
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

// children returns the child processes of systemd-nspawn. After the start there is one, the machine's PID 1.
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

// kill returns when systemd-nspawn and all processes of the machine have ended. It kills the machine's PID 1 first,
// which goes on when only systemd-nspawn is killed.
func (b *boot) kill() {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	// A systemd-nspawn that does not end after its machine is killed, too.
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

// powerOff sends the signal to power off until ctx ends or the machine has ended. It repeats it, because a systemd that
// has just started ignores it, and twice has the same effect as once.
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

// isInit reports whether pid is PID 1 in a namespace of its own, and not a helper of systemd-nspawn, which a signal
// would end.
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

// errBooting is the error of Exec when the machine has no PID 1.
var errBooting = errors.New("the machine has no PID 1 yet or any more")

// exec runs argv as root in the namespaces of the machine's PID 1.
func (b *boot) exec(ctx context.Context, g groups, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	for _, pid := range b.children() {
		if !isInit(pid) {
			continue
		}
		args := []string{"nsenter", "--target=" + strconv.Itoa(pid), "--mount", "--uts", "--ipc", "--net", "--pid",
			"--cgroup", "--root", "--wd", "--"}
		if leaf := g.leaf(); leaf != "" { // so that what holds for the machine's processes holds for this one
			args = joining(groups{leaf}, args)
		}
		cmd := exec.CommandContext(ctx, args[0], append(args[1:], argv...)...)
		cmd.Env = []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"HOME=/root", "USER=root", "LOGNAME=root", "LANG=C.UTF-8", "TERM=dumb",
		}
		cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, stderr
		// The command is a child of nsenter, so the whole process group is killed. WaitDelay is for processes in the
		// background that keep the streams open.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = time.Second
		return cmd.Run()
	}
	return errBooting
}
