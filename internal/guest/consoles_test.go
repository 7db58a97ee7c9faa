// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build linux

package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// terminals are what a kernel says of its terminals, and their device files.
type terminals struct {
	active  string            // /sys/class/tty/console/active
	types   map[string]string // /sys/class/tty/NAME/type
	devices []string          // in the directory of the console
}

// machineTerminals says on which device files, beside /dev/console, a machine with some terminals prints its reports.
var machineTerminals = map[string]struct {
	terminals

	want string
}{
	"EC2's usual kernel line": {
		terminals{"tty0 ttyS0\n", map[string]string{"ttyS0": "4\n", "ttyS1": "0\n"},
			[]string{"tty0", "ttyS0", "ttyS1"}},
		"",
	},
	"a screen behind the serial port": {
		terminals{"ttyS0 tty0\n", map[string]string{"ttyS0": "4\n"}, []string{"tty0", "ttyS0"}}, "ttyS0",
	},
	"a numbered screen behind it": {
		terminals{"ttyS0 tty1\n", map[string]string{"ttyS0": "4\n"}, []string{"tty1", "ttyS0"}}, "ttyS0",
	},
	"a serial port of ARM": {
		terminals{"ttyAMA0 tty0\n", map[string]string{"ttyAMA0": "32\n"}, []string{"tty0", "ttyAMA0"}}, "ttyAMA0",
	},
	"several": {
		terminals{"hvc0 xvc0 ttyS1 ttyUSB0 tty0 ttyS0\n", map[string]string{"ttyS0": "4\n"},
			[]string{"hvc0", "xvc0", "ttyS1", "ttyUSB0", "tty0", "ttyS0"}},
		"hvc0 ttyS1 ttyUSB0 xvc0",
	},
	"a serial port that is no console": {
		terminals{"tty0\n", map[string]string{"ttyS0": "4\n"}, []string{"tty0", "ttyS0"}}, "ttyS0",
	},
	"another console than the serial port": {
		terminals{"hvc0\n", map[string]string{"ttyS0": "4\n"}, []string{"hvc0", "ttyS0"}}, "ttyS0",
	},
	"a serial port that the machine does not have": {
		terminals{"tty0\n", map[string]string{"ttyS0": "0\n"}, []string{"tty0", "ttyS0"}}, "",
	},
	"no device file":        {terminals{"ttyS0 tty0\n", map[string]string{"ttyS0": "4\n"}, nil}, ""},
	"a container":           {terminals{"tty0 ttyS0\n", map[string]string{"ttyS0": "4\n"}, nil}, ""},
	"no list":               {terminals{"", map[string]string{"ttyS0": "4\n"}, []string{"ttyS0"}}, "ttyS0"},
	"no line end":           {terminals{"ttyS0 tty0", nil, []string{"ttyS0"}}, "ttyS0"},
	"a console named twice": {terminals{"ttyS1 ttyS1 tty0\n", nil, []string{"ttyS1"}}, "ttyS1"},
}

// write makes the files of terminals below a directory: sys, and device files that are terminals. It returns the other
// ends of those, and that of /dev/console.
func (m terminals) write(t *testing.T, dir string) map[string]*pty {
	t.Helper()
	file := func(path, text string) {
		path = filepath.Join(dir, "sys", path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if m.active != "" {
		file("console/active", m.active)
	}
	for name, text := range m.types {
		file(name+"/type", text)
	}
	ends := map[string]*pty{}
	for _, name := range append(m.devices, "console") {
		end, path := newPTY(t)
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		ends[name] = end
	}
	return ends
}

// pty is a pseudo-terminal whose other end is read all the time.
type pty struct {
	device, end *os.File

	mu      sync.Mutex
	more    sync.Cond
	printed string
	err     error
}

func newPTY(t *testing.T) (_ *pty, path string) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	path = fmt.Sprintf("/dev/pts/%d", number)
	device, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	x := &pty{device: device, end: os.NewFile(uintptr(fd), "end of "+path)}
	x.more.L = &x.mu
	go x.read()
	t.Cleanup(func() { _ = x.end.Close(); _ = device.Close() })
	return x, path
}

func (x *pty) read() {
	buffer := make([]byte, 1<<12)
	for x.err == nil {
		n, err := x.end.Read(buffer)
		x.mu.Lock()
		x.printed, x.err = x.printed+string(buffer[:n]), err
		x.more.Broadcast()
		x.mu.Unlock()
	}
}

// take returns what was printed on a terminal since it was last taken. A mark behind it shows that all of it is there.
func (x *pty) take(t *testing.T) string {
	t.Helper()
	const mark = "<end of what was printed>"
	if _, err := x.device.WriteString(mark); err != nil {
		t.Fatal(err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for {
		if before, after, ok := strings.Cut(x.printed, mark); ok {
			x.printed = after
			return before
		}
		if x.err != nil {
			t.Fatal(x.err)
		}
		x.more.Wait()
	}
}

// seenOn returns the names of the terminals on which something was printed, in a machine's order.
func seenOn(t *testing.T, m terminals, ends map[string]*pty, is func(text string) bool) string {
	t.Helper()
	var names []string
	for _, name := range slices.Sorted(slices.Values(m.devices)) {
		switch text := ends[name].take(t); {
		case is(text):
			names = append(names, name)
		case text != "":
			t.Errorf("%s has %q", name, text)
		}
	}
	return strings.Join(names, " ")
}

func TestReportsGoToEverySerialConsole(t *testing.T) {
	for name, c := range machineTerminals {
		for _, shell := range []string{"dash", "bash"} {
			t.Run(name+" with "+shell, func(t *testing.T) {
				dir := t.TempDir()
				ends := c.write(t, dir)
				runGuestFunctionsIn(t, shell, dir, "bakery_ttys=$dir/sys\n"+
					"bakery_report start 1 a; bakery_report end 1 0 a\n")
				console := ends["console"].take(t)
				want := testReader.Reports([]byte(console))
				if len(want) != 2 {
					t.Errorf("/dev/console has %q", console)
				}
				same := func(text string) bool {
					return strings.Count(text, "@bakery ") == len(want) &&
						cmp.Equal(testReader.Reports([]byte(text)), want)
				}
				if got := seenOn(t, c.terminals, ends, same); got != c.want {
					t.Errorf("the reports are on %q, want %q", got, c.want)
				}
			})
		}
	}
}

// block makes a terminal take nothing, as the other end of a serial line can.
func block(t *testing.T, path string) {
	t.Helper()
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NOCTTY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	const stopOutput = 0 // TCOOFF
	if err := unix.IoctlSetInt(fd, unix.TCXONC, stopOutput); err != nil {
		t.Fatal(err)
	}
}

// A console that takes nothing is waited for once.
func TestBlockedConsoleDoesNotStopReports(t *testing.T) {
	dir := t.TempDir()
	m := terminals{"ttyS1 ttyS0 tty0\n", nil, []string{"ttyS1", "ttyS0"}}
	ends := m.write(t, dir)
	block(t, filepath.Join(dir, "ttyS1"))
	_, blocked := runGuestFunctionsIn(t, "dash", dir, "bakery_ttys=$dir/sys\n"+
		"bakery_report start 1 a; bakery_report end 1 0 a\nls $dir/run\n")
	if !strings.Contains(blocked, "ttyS1.blocked\n") || strings.Contains(blocked, "ttyS0.blocked\n") {
		t.Errorf("the machine knows as blocked %q", blocked)
	}
	if got := testReader.Reports([]byte(ends["ttyS0"].take(t))); len(got) != 2 {
		t.Errorf("the console that works has the reports %v", got)
	}
}

// linesOn returns whether a console shows all of these lines.
func linesOn(console, lines string) bool {
	all := NewUnsealer(testID, testKey).Read([]byte(console))
	return strings.Join(text(all, FromCloudInit), "\n") == lines
}

// The program that sends lines is told of all consoles.
func TestLinesGoToEverySerialConsole(t *testing.T) {
	for name, c := range machineTerminals {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c.write(t, dir)
			_, told := runGuestFunctionsIn(t, "dash", dir, `bakery_ttys=$dir/sys
bakery_python() { echo /bin/sh; }
echo 'echo "$BAKERY_CONSOLES"' >$bakery_dir/log_stream.py
(bakery_exec_log_stream) | sed "s|$dir/||g"
`)
			if got := strings.Join(strings.Fields(told), " "); got != strings.TrimSpace("console "+c.want) {
				t.Errorf("the lines go to %q", got)
			}
		})
	}
}

func TestLinesGoToAllConsolesTheyAreToldOf(t *testing.T) {
	g := &logStream{T: t, dir: t.TempDir()}
	m := terminals{"", nil, []string{"ttyS0", "hvc0"}}
	ends := m.write(t, g.dir)
	g.consoles = []string{g.path("console"), g.path("ttyS0"), g.path("hvc0")}
	g.write("output", "one\ntwo\n")
	g.start("", "console")
	shown := ""
	waitFor(t, "nothing comes", func() bool {
		shown += ends["hvc0"].take(t) // the last one
		return linesOn(shown, "one\ntwo")
	})
	g.stop()
	both := func(text string) bool { return linesOn(text, "one\ntwo") }
	if !both(ends["console"].take(t)) || !both(ends["ttyS0"].take(t)) {
		t.Error("the lines are not on all of them")
	}
}

// The lines of a step that failed come from a program of their own.
func TestLastLinesGoToEverySerialConsole(t *testing.T) {
	g := &logStream{T: t, dir: t.TempDir()}
	m := terminals{"ttyS0 tty0\n", nil, []string{"tty0", "ttyS0"}}
	ends := m.write(t, g.dir)
	g.consoles = []string{g.path("console"), g.path("ttyS0")}
	g.write("log", "why\n")
	g.start("", "tail", g.path("log"), "0")
	g.end()
	final := func(text string) bool {
		all := NewUnsealer(testID, testKey).Read([]byte(text))
		return len(all) > 0 && all[0].Source == FromEnd && cmp.Equal(all[0].Text, []string{"why"})
	}
	if got := seenOn(t, m, ends, final); got != "ttyS0" || !final(ends["console"].take(t)) {
		t.Errorf("the last lines are on %q", got)
	}
}

// A console that takes nothing, be it /dev/console or another one, is waited for once.
func TestBlockedConsoleDoesNotStopLines(t *testing.T) {
	for blocked, works := range map[string]string{"ttyS0": "console", "console": "ttyS0"} {
		t.Run(blocked, func(t *testing.T) {
			t.Parallel()
			g := &logStream{T: t, dir: t.TempDir()}
			ends := terminals{"ttyS0 tty0\n", nil, []string{"ttyS0"}}.write(t, g.dir)
			g.consoles = []string{g.path("console"), g.path("ttyS0")}
			block(t, g.path(blocked))
			g.write("output", "one\n")
			g.start("", "console")
			shown := ""
			waitForLines := func(lines string) {
				waitFor(t, "nothing comes", func() bool {
					shown += ends[works].take(t)
					return linesOn(shown, lines)
				})
			}
			waitForLines("one")
			g.write("output", "two\n")
			waitForLines("one\ntwo")
			g.stop()
		})
	}
}

// A console that cannot be opened or written says so each time, and costs nothing.
func TestBrokenConsoleDoesNotStopLines(t *testing.T) {
	g := &logStream{T: t, dir: t.TempDir()}
	ends := terminals{"ttyS0 ttyS1 tty0\n", nil, []string{"ttyS1"}}.write(t, g.dir)
	for name, to := range map[string]string{"console": "/dev/nowhere", "ttyS0": "/dev/full"} {
		_ = os.Remove(g.path(name))
		if err := os.Symlink(to, g.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	g.consoles = []string{g.path("console"), g.path("ttyS0"), g.path("ttyS1")}
	g.write("output", "one\n")
	g.start("", "console")
	shown := ""
	waitFor(t, "nothing comes", func() bool {
		shown += ends["ttyS1"].take(t)
		return linesOn(shown, "one")
	})
	g.stop()
}
