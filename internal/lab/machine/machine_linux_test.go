// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/baseimage"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/disk"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sandbox"
)

// patience is for a boot on a busy computer; a quiet one takes 3 s.
const patience = 2 * time.Minute

// TestMain runs the tests in a sandbox, as the lab runs its machines: what a
// failing test leaves dies with it.
func TestMain(m *testing.M) {
	sandbox.Init()
	if sandbox.Inside() {
		if image := os.Getenv(victimVariable); image != "" {
			os.Exit(victim(image))
		}
		os.Exit(m.Run())
	}
	if err := machine.Check(true); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code, err := sandbox.Run(os.Args, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(code)
}

// newDisk is a fresh clone of the base image of suite.
func newDisk(t *testing.T, suite string) string {
	t.Helper()
	home := os.Getenv("BAKERY_LAB_HOME")
	if home == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		home = filepath.Join(cache, "bakery-lab")
	}
	base, err := baseimage.Ensure(t.Context(), home, suite, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := disk.Clone(base.Disk, path); err != nil {
		t.Fatal(err)
	}
	return path
}

type guest struct {
	machine.Machine
	spec    machine.Spec
	console *transcript
}

// launch starts a machine named id; change may change its spec.
func launch(t *testing.T, id, image, userData string, change ...func(*machine.Spec)) *guest {
	t.Helper()
	g := &guest{console: newTranscript()}
	g.spec = machine.Spec{
		ID: id, Disk: image, Console: g.console,
		Listeners: []machine.Listener{{Address: "169.254.169.254:80", Handler: imds(id, userData)}},
	}
	for _, c := range change {
		c(&g.spec)
	}
	m, err := machine.Nspawn().Start(t.Context(), g.spec)
	if err != nil {
		t.Fatal(err)
	}
	g.Machine = m
	t.Cleanup(func() {
		m.Kill()
		if t.Failed() {
			t.Logf("console of %s:\n%s", id, g.console)
		}
		noTrace(t, g.spec)
	})
	return g
}

// wait waits for the machine's end.
func (g *guest) wait(t *testing.T) machine.Exit {
	t.Helper()
	select {
	case <-g.Done():
	case <-time.After(patience):
		t.Fatal("the machine did not end")
	}
	return g.Exit()
}

// see waits until text was printed on the console.
func (g *guest) see(t *testing.T, text string) {
	t.Helper()
	limit := time.After(patience)
	for !strings.Contains(g.console.String(), text) {
		select {
		case <-g.console.changed:
		case <-g.Done():
			if strings.Contains(g.console.String(), text) {
				return
			}
			t.Fatalf("the machine ended without printing %q", text)
		case <-limit:
			t.Fatalf("the machine did not print %q", text)
		}
	}
}

// noTrace asserts that nothing of a machine that has ended is on the host.
func noTrace(t *testing.T, s machine.Spec) {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || bytes.Contains(mounts, []byte(s.ID)) {
		t.Errorf("mounts are left (%v):\n%s", err, mounts)
	}
	for _, pattern := range []string{ // /run/netns: the lab gives no namespace a name
		"/sys/fs/cgroup/*" + s.ID + "*", "/sys/fs/cgroup/*/*" + s.ID + "*", "/sys/fs/cgroup/*/*/*" + s.ID + "*",
		"/run/systemd/nspawn/propagate/*" + s.ID, "/run/netns/*", filepath.Join(filepath.Dir(filepath.Dir(t.TempDir())), "bakery-lab-"+s.ID+"*"),
	} {
		if left, err := filepath.Glob(pattern); err != nil || len(left) > 0 {
			t.Errorf("left behind: %q, %v", left, err)
		}
	}
	if strings.Contains(loops(t), s.Disk+"\n") {
		t.Errorf("a loop device still has %s", s.Disk)
	}
	if running(t, "bakery-lab-"+s.ID) {
		t.Error("a process is left")
	}
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	found, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// onDisk reads a file of a disk that no machine uses.
func onDisk(t *testing.T, image, path string) string {
	t.Helper()
	dir := t.TempDir()
	unmount, err := disk.Mount(image, dir, true)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, path))
	if err := errors.Join(err, unmount()); err != nil {
		t.Fatal(err)
	}
	return string(content)
}

const powerOff = "power_state: {mode: poweroff, delay: now}\n"

func TestAMachineRunsItsUserDataAndPowersOff(t *testing.T) {
	for suite := range strings.FieldsSeq(suites()) {
		t.Run(suite, func(t *testing.T) {
			image := newDisk(t, suite)
			began := time.Now()
			g := launch(t, "i-first"+suite, image, "#cloud-config\nruncmd:\n"+
				"- echo hi from $(hostname) > /dev/console\n- cp /etc/machine-id /root/first-id\n"+powerOff)
			if exit := g.wait(t); !exit.PoweredOff || exit.Err != nil {
				t.Errorf("exit %+v", exit)
			}
			t.Logf("%s: %.1f s from power-on to power-off", suite, time.Since(began).Seconds())
			if !strings.Contains(g.console.String(), "hi from guest\r\n") {
				t.Error("its console did not show what it printed")
			}
			first := onDisk(t, image, "root/first-id")
			if resolv := onDisk(t, image, "etc/resolv.conf"); resolv != "" {
				t.Errorf("the lab's resolv.conf got onto the disk: %q", resolv)
			}
			// The same disk again, as a new instance: its user data runs as at a first boot.
			g = launch(t, "i-second"+suite, image, "#cloud-config\nruncmd: [cp /etc/machine-id /root/second-id]\n"+powerOff)
			if exit := g.wait(t); !exit.PoweredOff || exit.Err != nil {
				t.Errorf("second boot: exit %+v", exit)
			}
			if second := onDisk(t, image, "root/second-id"); second != first || len(first) != 33 {
				t.Errorf("machine-id %q, then %q", first, second)
			}
		})
	}
}

// suites are bookworm, or those of BAKERY_LAB_SUITES.
func suites() string {
	if s := os.Getenv("BAKERY_LAB_SUITES"); s != "" {
		return s
	}
	return "bookworm"
}

func TestAMachineGoesOnAfterAReboot(t *testing.T) {
	image := newDisk(t, "bookworm")
	g := launch(t, "i-reboot", image, "#cloud-config\nbootcmd:\n"+
		"- 'echo boot >> /root/boots; echo this is boot $(wc -l < /root/boots) > /dev/console'\n"+
		"- '[ $(wc -l < /root/boots) -lt 3 ] || systemctl --no-block poweroff'\n"+
		"- '[ $(wc -l < /root/boots) -gt 2 ] || systemctl --no-block reboot'\n")
	if exit := g.wait(t); !exit.PoweredOff || exit.Err != nil {
		t.Errorf("exit %+v", exit)
	}
	for n := 1; n <= 3; n++ {
		if !strings.Contains(g.console.String(), fmt.Sprintf("this is boot %d", n)) {
			t.Errorf("the console has no boot %d", n)
		}
	}
	if got := onDisk(t, image, "root/boots"); got != "boot\nboot\nboot\n" {
		t.Errorf("boots: %q", got)
	}
}

func TestAMachineCanBeEnded(t *testing.T) {
	soon := func(g *guest) error {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		return g.Stop(ctx)
	}
	expired := func(g *guest) error {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		return g.Stop(ctx)
	}
	kill := func(g *guest) error { g.Kill(); return nil }
	tests := map[string]struct {
		early   bool // at once, else when user data has run
		end     func(*guest) error
		orderly bool
	}{
		"stopped when it is up":               {false, soon, true},
		"stopped while it starts":             {true, soon, false},
		"stopped with no time left":           {false, expired, false},
		"killed when it is up":                {false, kill, false},
		"killed while it starts":              {true, kill, false},
		"killed after it was stopped already": {false, func(g *guest) error { err := soon(g); g.Kill(); return err }, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			image := newDisk(t, "bookworm")
			g := launch(t, "i-"+strings.ReplaceAll(name, " ", ""), image, "#cloud-config\nruncmd: [echo it is up > /dev/console]\n")
			if !tc.early {
				g.see(t, "it is up")
			}
			if err := tc.end(g); err != nil {
				t.Error(err)
			}
			if exit := g.wait(t); exit.PoweredOff || exit.Err != nil {
				t.Errorf("exit %+v", exit)
			}
			if orderly := strings.Contains(g.console.String(), "Power Off"); orderly != tc.orderly && !tc.early {
				t.Errorf("orderly: %v, want %v", orderly, tc.orderly)
			}
			noTrace(t, g.spec)
			if err := disk.Clone(image, image+".clone"); err != nil {
				t.Error(err)
			}
			if out, err := exec.Command("e2fsck", "-n", image+".clone").CombinedOutput(); err != nil {
				t.Errorf("its disk: %v\n%s", err, out)
			}
		})
	}
}

func TestTwoMachinesDoNotMeet(t *testing.T) {
	one := launch(t, "i-one", newDisk(t, "bookworm"), "#cloud-config\nruncmd: [echo one is up > /dev/console]\n")
	two := launch(t, "i-two", newDisk(t, "bookworm"), "#cloud-config\nruncmd: [echo two is up > /dev/console]\n")
	one.see(t, "one is up")
	two.see(t, "two is up")
	one.Kill()
	noTrace(t, one.spec)
	if got := run(t, two, "systemctl", "is-active", "ssh"); got != "active\n" {
		t.Errorf("ssh of the other machine is %q", got)
	}
	if got := run(t, two, "curl", "-sf", "http://169.254.169.254/latest/meta-data/instance-id"); got != "i-two" {
		t.Errorf("the other machine's metadata: %q", got)
	}
}

// run gives the output of a command in the machine.
func run(t *testing.T, g *guest, argv ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := g.Exec(t.Context(), argv, nil, &out, &out); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
	return out.String()
}

func TestCommandsRunInside(t *testing.T) {
	const endpoint = "127.0.0.1:4599"
	lab := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})
	g := launch(t, "i-exec", newDisk(t, "bookworm"), "#cloud-config\nruncmd: [echo it is up > /dev/console]\n", func(s *machine.Spec) {
		s.Hostname = "other"
		s.Listeners = append(s.Listeners, machine.Listener{Address: endpoint, Handler: lab})
	})
	g.see(t, "it is up")
	t.Setenv("SECRET_OF_THE_LAB", "x")
	tests := map[string]struct {
		argv []string
		want string
	}{
		"as root, in its own place":     {[]string{"sh", "-c", "id -u; pwd; cat /etc/debian_version | cut -d. -f1; cat /proc/1/comm"}, "0\n/\n12\nsystemd\n"},
		"with a clean environment":      {[]string{"sh", "-c", "echo $HOME; env | grep -c SECRET"}, "/root\n0\n"},
		"on a disk of 8 GiB":            {[]string{"sh", "-c", "stat -f -c %T / /tmp; df --output=size / | awk 'NR == 2 { print ($1 > 7500000 && $1 < 8400000) }'"}, "ext2/ext3\next2/ext3\n1\n"},
		"with unified control groups":   {[]string{"stat", "-f", "-c", "%T", "/sys/fs/cgroup"}, "cgroup2fs\n"},
		"reaching the lab's endpoint":   {[]string{"curl", "-sf", "--data", "ping", "http://" + endpoint + "/"}, "ping"},
		"alone with its own address":    {[]string{"sh", "-c", "curl -s -m 2 http://169.254.169.253/ || echo unreachable; ip -br link show eth0 2>&1; ls -d /sys/class/net/eth0 2>&1"}, "unreachable\nDevice \"eth0\" does not exist.\nls: cannot access '/sys/class/net/eth0': No such file or directory\n"},
		"able to configure its network": {[]string{"sh", "-c", "ip link add dummy9 type dummy; ip addr add 10.9.9.9/32 dev lo && ip -o addr show dev lo | grep -c 10.9.9.9; ip addr del 10.9.9.9/32 dev lo"}, "1\n"},
		"nothing failed in it":          {[]string{"sh", "-c", "systemctl --failed --plain --no-legend; cloud-init status --wait >/dev/null; grep -c 'errors.: \\[\\]' /run/cloud-init/result.json"}, "1\n"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			err := g.Exec(t.Context(), tc.argv, nil, &out, io.Discard)
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				t.Error(err)
			}
			if out.String() != tc.want {
				t.Errorf("got %q, want %q", out.String(), tc.want)
			}
		})
	}
	t.Run("with its input and exit status", func(t *testing.T) {
		var out bytes.Buffer
		err := g.Exec(t.Context(), []string{"sh", "-c", "cat; exit 9"}, strings.NewReader("typed"), &out, nil)
		exit := (*exec.ExitError)(nil)
		if !errors.As(err, &exit) || exit.ExitCode() != 9 || out.String() != "typed" {
			t.Errorf("got %v, %q", err, out.String())
		}
	})
	t.Run("until the context ends", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if err := g.Exec(ctx, []string{"sleep", "4242"}, nil, nil, nil); err == nil {
			t.Error("no error")
		}
		if got := run(t, g, "sh", "-c", "pgrep -fx 'sleep 4242' | wc -l"); got != "0\n" {
			t.Errorf("%s sleeps are left", got)
		}
	})
	g.Kill()
	if err := g.Exec(t.Context(), []string{"true"}, nil, nil, nil); err == nil {
		t.Error("a command ran in a machine that has ended")
	}
}

func TestTheInternetIsTheHosts(t *testing.T) {
	g := launch(t, "i-net", newDisk(t, "bookworm"), "#cloud-config\nruncmd: [echo it is up > /dev/console]\n", func(s *machine.Spec) { s.Internet = true })
	g.see(t, "it is up")
	if got := run(t, g, "cat", "/etc/resolv.conf"); got != "nameserver 10.0.2.3\n" {
		t.Errorf("resolv.conf: %q", got)
	}
	run(t, g, "apt-get", "-qq", "--error-on=any", "update")
	run(t, g, "apt-get", "-qq", "install", "-y", "--no-install-recommends", "hello")
	if got := run(t, g, "hello"); got != "Hello, world!\n" {
		t.Errorf("the installed package says %q", got)
	}
}

func TestAStartThatFailsSaysWhyAndLeavesNothing(t *testing.T) {
	notADisk := filepath.Join(t.TempDir(), "empty.img")
	if err := os.WriteFile(notADisk, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		spec machine.Spec
		want string
	}{
		"no disk":            {machine.Spec{ID: "i-nodisk", Disk: "/no/such.img"}, "mount disk /no/such.img"},
		"no file system":     {machine.Spec{ID: "i-nofs", Disk: notADisk}, "mount disk"},
		"no name":            {machine.Spec{ID: "../x", Disk: "/no/such.img"}, "lower-case letters"},
		"no address":         {machine.Spec{ID: "i-noaddr", Disk: newDisk(t, "bookworm"), Listeners: []machine.Listener{{Address: "nowhere:80"}}}, "listen on nowhere:80"},
		"one address, twice": {machine.Spec{ID: "i-twice", Disk: newDisk(t, "bookworm"), Listeners: []machine.Listener{{Address: "127.0.0.1:81"}, {Address: "127.0.0.1:81"}}}, "address already in use"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := machine.Nspawn().Start(t.Context(), tc.spec)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
			noTrace(t, tc.spec)
		})
	}
}

func TestADiskWithoutSystemdEndsWithTheReason(t *testing.T) {
	image := filepath.Join(t.TempDir(), "disk.img")
	tree := t.TempDir()
	for _, dir := range []string{"etc", "usr/bin"} {
		if err := os.MkdirAll(filepath.Join(tree, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(tree, "etc/os-release"), []byte("ID=empty\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := disk.FromTree(t.Context(), tree, image, 64<<20); err != nil {
		t.Fatal(err)
	}
	g := launch(t, "i-empty", image, "")
	exit := g.wait(t)
	if exit.PoweredOff || exit.Err == nil || !strings.Contains(exit.Err.Error(), "init") {
		t.Errorf("exit %+v", exit)
	}
}

// victimVariable makes the test binary a lab that is to be killed: it runs one
// machine on the disk the variable names.
const victimVariable = "MACHINE_TEST_VICTIM"

func victim(image string) int {
	console := newTranscript()
	_, err := machine.Nspawn().Start(context.Background(), machine.Spec{
		ID: "i-victim", Disk: image, Console: console, Internet: true,
		Listeners: []machine.Listener{{Address: "169.254.169.254:80", Handler: imds("i-victim", "#cloud-config\nruncmd: [echo it is up > /dev/console]\n")}},
	})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for range console.changed {
		if strings.Contains(console.String(), "it is up") {
			fmt.Println("up")
		}
	}
	return 0
}

func TestNothingIsLeftOfALabThatIsKilled(t *testing.T) {
	image := newDisk(t, "bookworm")
	lab := exec.Command("/proc/self/exe")
	lab.Env = append(os.Environ(), victimVariable+"="+image)
	out, err := lab.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := lab.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "up\n" {
		t.Errorf("the lab says %q, %v", line, err)
	}
	if !strings.Contains(loops(t), image) || !running(t, "i-victim") || !running(t, "slirp4netns") {
		t.Error("the lab does not run what it is to leave nothing of")
	}
	if err := lab.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = lab.Wait()
	for limit := time.Now().Add(patience); strings.Contains(loops(t), image) || running(t, "i-victim") || running(t, "slirp4netns"); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("processes or loop devices are left:\n%s", loops(t))
		}
	}
	// The next machine takes the rest away: empty directories.
	launch(t, "i-next", newDisk(t, "bookworm"), "").Kill()
	noTrace(t, machine.Spec{ID: "i-victim", Disk: image})
}

// loops are the names of the files behind all loop devices.
func loops(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, file := range glob(t, "/sys/block/loop*/loop/backing_file") {
		name, _ := os.ReadFile(file) // gone just now
		all.Write(name)
	}
	return all.String()
}

// running says whether a process of this sandbox has text in its command line.
func running(t *testing.T, text string) bool {
	t.Helper()
	for _, file := range glob(t, "/proc/[0-9]*/cmdline") {
		if line, err := os.ReadFile(file); err == nil && bytes.Contains(line, []byte(text)) {
			return true
		}
	}
	return false
}
