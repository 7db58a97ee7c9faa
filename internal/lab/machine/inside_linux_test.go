// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
)

func TestExec(t *testing.T) {
	const endpoint = "127.0.0.1:4599"
	lab := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	})
	g := launch(t, "i-exec", newDisk(t, "bookworm"), "#cloud-config\nruncmd: [echo it is up > /dev/console]\n",
		func(s *machine.Spec) {
			s.Hostname = "other"
			s.Listeners = append(s.Listeners, machine.Listener{Address: endpoint, Handler: lab})
		})
	g.see(t, "it is up")
	t.Setenv("SECRET_OF_THE_LAB", "x")
	tests := map[string]struct {
		argv []string
		want string
	}{
		"as root, in its own place": {[]string{"sh", "-c",
			"id -u; pwd; cat /etc/debian_version | cut -d. -f1; cat /proc/1/comm"}, "0\n/\n12\nsystemd\n"},
		"with a clean environment": {[]string{"sh", "-c", "echo $HOME; env | grep -c SECRET"}, "/root\n0\n"},
		"on a disk of 8 GiB": {[]string{"sh", "-c",
			"stat -f -c %T / /tmp; df --output=size / | awk 'NR == 2 { print ($1 > 7500000 && $1 < 8400000) }'"},
			"ext2/ext3\next2/ext3\n1\n"},
		"with unified control groups": {[]string{"stat", "-f", "-c", "%T", "/sys/fs/cgroup"}, "cgroup2fs\n"},
		"reaching the lab's endpoint": {[]string{"curl", "-sf", "--data", "ping", "http://" + endpoint + "/"}, "ping"},
		"alone with its own address": {
			[]string{"sh", "-c", "curl -s -m 2 http://169.254.169.253/ || echo unreachable; " +
				"ip -br link show eth0 2>&1; ls -d /sys/class/net/eth0 2>&1"},
			"unreachable\nDevice \"eth0\" does not exist.\n" +
				"ls: cannot access '/sys/class/net/eth0': No such file or directory\n",
		},
		"able to configure its network": {[]string{"sh", "-c",
			"ip link add dummy9 type dummy; ip addr add 10.9.9.9/32 dev lo && ip -o addr show dev lo | grep -c " +
				"10.9.9.9; ip addr del 10.9.9.9/32 dev lo"}, "1\n"},
		"nothing failed in it": {[]string{"sh", "-c",
			"systemctl --failed --plain --no-legend; cloud-init status --wait >/dev/null; grep -c 'errors.: \\[\\]' " +
				"/run/cloud-init/result.json"}, "1\n"},
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
	testInputAndContext(t, g)
	g.Kill()
	if err := g.Exec(t.Context(), []string{"true"}, nil, nil, nil); err == nil {
		t.Error("a command ran in a machine that has ended")
	}
}

// testInputAndContext tests the input, the exit status and the context of Exec.
func testInputAndContext(t *testing.T, g *guest) {
	t.Helper()
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
		if got := run(t, g, "sh", "-c", "for i in $(seq 600); do pgrep -fx 'sleep 4242' >/dev/null || break; "+
			"sleep 0.1; done; pgrep -fx 'sleep 4242' | wc -l"); got != "0\n" {
			t.Errorf("%s sleeps are left", got)
		}
	})
}

func TestInternet(t *testing.T) {
	g := launch(t, "i-net", newDisk(t, "bookworm"), "#cloud-config\nruncmd: [echo it is up > /dev/console]\n",
		func(s *machine.Spec) { s.Internet = true })
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
