// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package qemu

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
)

func TestKVMNeedsTheProcessorsVirtualization(t *testing.T) {
	tests := map[string]struct {
		info string
		want bool
	}{
		"Intel":                       {"processor\t: 0\nflags\t\t: fpu vme vmx ssse3\n", true},
		"AMD":                         {"flags\t\t: fpu svm\n", true},
		"a guest without":             {"flags\t\t: fpu vme hypervisor svme\nbugs\t\t: vmx\n", false},
		"another kind of processor":   {"Features\t: fp asimd\n", false},
		"names only, as on Intel too": {"vmx flags\t: vnmi\nflags\t\t: fpu\n", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := hasVirtualization([]byte(tc.info)); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestConsolesAreInTheKernelsLine(t *testing.T) {
	for want, consoles := range map[string][]string{
		"console=ttyS0,115200n8 net.":              nil,
		"console=ttyS0,115200n8 console=tty0 net.": {"ttyS0", "tty0"},
		"console=tty0 net.":                        {"tty0"},
	} {
		m := &vm{runner: Runner{Consoles: consoles}}
		if got := m.commandLine(); !strings.HasPrefix(got, want) {
			t.Errorf("%v: %s", consoles, got)
		}
	}
}

func TestArgumentsLookLikeEC2(t *testing.T) {
	m := &vm{
		runner: Runner{Kernel: Kernel{Image: "/cache/vmlinuz"}}, self: "/it's/here,now/bakery-lab", dir: "/run/a,b",
		spec:     machine.Spec{ID: "i-1", Disk: "/disks/a,b.img", Hostname: "ip-1"},
		forwards: []forward{{"169.254.169.254:80", "listener0"}},
	}
	args := m.arguments()
	value := func(option, with string) string {
		for at, a := range args {
			if a == option && strings.Contains(args[at+1], with) {
				return args[at+1]
			}
		}
		t.Fatalf("no %s with %s in %q", option, with, args)
		return ""
	}
	if got := value("-drive", "root"); !strings.HasSuffix(got, ",file=/disks/a,,b.img") {
		t.Errorf("a comma in a path: %s", got)
	}
	net := value("-netdev", "user")
	if !strings.Contains(net, `restrict=on`) ||
		!strings.HasSuffix(net,
			`guestfwd=tcp:169.254.169.254:80-cmd:'/it'\''s/here,,now/bakery-lab' _qemu-relay '/run/a,,b' listener0`) {
		t.Errorf("network: %s", net)
	}
	var serial, uuid string
	for field := range strings.SplitSeq(value("-smbios", "type=1"), ",") {
		name, text, _ := strings.Cut(field, "=")
		switch name {
		case "serial":
			serial = text
		case "uuid":
			uuid = text
		}
	}
	if serial != uuid || !strings.HasPrefix(uuid, "ec2") || len(uuid) != 36 {
		t.Errorf("cloud-init wants the same UUID twice, beginning with ec2: %q, %q", serial, uuid)
	}
	m.spec.ID = "i-2"
	if other := m.arguments(); slices.Contains(other, value("-smbios", "type=1")) {
		t.Error("another instance has the same UUID")
	}
}

func TestMachinesOfArm64HaveTheirOwnHardware(t *testing.T) {
	m := &vm{runner: Runner{Architecture: ARM64}, spec: machine.Spec{ID: "i-1"}}
	args := strings.Join(m.arguments(), " ")
	for _, want := range []string{
		"-machine virt,", "-device pci-serial,chardev=console ", "-bios /", "-cpu neoverse-n1", "product=t4g.nano,",
	} {
		if !strings.Contains(args, want) {
			t.Errorf("no %q in %s", want, args)
		}
	}
	if got := m.runner.platform().emulator.Name; got != "qemu-system-aarch64" {
		t.Errorf("%s runs it", got)
	}
}

func TestTheMonitorReportsPowerOffs(t *testing.T) {
	event := func(guest bool, reason string) string {
		return fmt.Sprintf("{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":%v,\"reason\":%q}}\n", guest, reason)
	}
	tests := map[string]struct {
		says string
		want bool
	}{
		"the guest's own":     {event(true, "guest-shutdown"), true},
		"after a reboot":      {event(true, "guest-reset") + event(true, "guest-shutdown"), true},
		"a reboot":            {event(true, "guest-reset"), false},
		"a signal":            {event(false, "host-signal"), false},
		"nothing, it crashed": {"", false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			m, err := openMonitor()
			if err != nil {
				t.Fatal(err)
			}
			defer m.close()
			peer, err := net.FileConn(m.peer)
			if err != nil {
				t.Fatal(err)
			}
			m.start()
			var first struct{ Execute string }
			if err := json.NewDecoder(peer).Decode(&first); err != nil || first.Execute != "qmp_capabilities" {
				t.Errorf("the first command is %q (%v)", first.Execute, err)
			}
			_, _ = io.WriteString(peer, `{"QMP": {"version": {}}}`+"\n"+`{"return": {}}`+"\n"+tc.says)
			_ = peer.Close()
			<-m.ended
			if m.poweredOff() != tc.want {
				t.Errorf("got %v", m.poweredOff())
			}
		})
	}
}

func TestForwardedAddressesReachTheirHandlers(t *testing.T) {
	// Longer than a socket's address can be.
	dir := t.TempDir() + "/" + strings.Repeat("x", 100)
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	say := func(text string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, text) })
	}
	d, forwards, relays, err := openSockets(dir, []machine.Listener{
		{Address: "169.254.169.254:80", Handler: say("metadata")},
		{Address: "127.0.0.1:4566", Handler: say("endpoint")},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	wantForwards := []forward{{"169.254.169.253:1", "jobs"}, {"169.254.169.254:80", "listener0"},
		{"169.254.169.253:2", "listener1"}}
	if !slices.Equal(forwards, wantForwards) || !slices.Equal(relays, []string{"127.0.0.1:4566"}) {
		t.Errorf("forwards %v, relays %v", forwards, relays)
	}
	t.Chdir(dir)
	for socket, want := range map[string]string{"listener0": "metadata", "listener1": "endpoint"} {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: socket})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
		if answer, _ := io.ReadAll(conn); !bytes.HasSuffix(answer, []byte(want)) {
			t.Errorf("%s answers %q", socket, answer)
		}
		_ = conn.Close()
	}
}

func TestTheAgentsLatestConnectionIsUsed(t *testing.T) {
	dir := t.TempDir()
	d, _, _, err := openSockets(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	t.Chdir(dir)
	knock := func() net.Conn {
		conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Net: "unix", Name: jobSocket})
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	old := knock()
	latest := knock()
	if _, err := old.Read(make([]byte, 1)); err != io.EOF { //nolint:errorlint // Read's own
		t.Errorf("the one before it is not closed: %v", err)
	}
	conn, err := d.agent(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "j")
	if n, err := latest.Read(make([]byte, 1)); n != 1 {
		t.Errorf("nothing came: %v", err)
	}
}
