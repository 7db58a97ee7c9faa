// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func runcmd(items string) map[string]string {
	return map[string]string{"cloudinit/60_app.cfg": "#cloud-config\nruncmd:\n" + items}
}

// TestLiveFailures applies Image-Sources that fail, one after another on one machine: none may leave anything on it.
func TestLiveFailures(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	m := l.startSSH(t, "bookworm", "")
	cloudInitParts := map[string]string{
		"cloudinit/10_users.cfg": "#cloud-config\nusers: [default]\ntimezone: UTC\nruncmd: [\"true\"]\n",
		"cloudinit/60_more.cfg":  "#cloud-config\nlocale: C.UTF-8\n",
	}
	for _, c := range []struct {
		name   string
		before string // on the machine, as root
		files  map[string]string
		vars   []string
		want   []string // in what packer prints; none: it must succeed
		after  string   // on the machine, as root; it must succeed
	}{
		{
			name:  "a command has its name and exit status and keeps the next from running",
			files: runcmd("- echo seen one\n- 'echo seen two; exit 7'\n- touch /third\n"),
			want:  []string{"seen one", "seen two", "60_app.cfg runcmd[1] failed with exit status 7"},
			after: "test ! -e /third",
		},
		{
			name:  "an exit in the middle is a failure",
			files: runcmd("- exit 0\n- touch /third\n"),
			want: []string{"60_app.cfg runcmd[0] failed with exit status 0",
				"the commands after it did not run"},
			after: "test ! -e /third",
		},
		{
			name: "install.sh",
			files: map[string]string{"script/install.sh": "#!/bin/sh\nprintf 'no line end'\nexit 9\n",
				"fs/opt/got": "here\n"},
			want:  []string{"no line end", "script/install.sh failed with exit status 9"},
			after: "test -e /opt/got",
		},
		{
			name: "a module of cloud-init",
			files: map[string]string{"cloudinit/10_boot.cfg": "#cloud-config\nbootcmd: [exit 5]\n" +
				"runcmd: [touch /third]\n"},
			want:  []string{"10_boot.cfg bootcmd[0] failed with exit status 5"},
			after: "test ! -e /third",
		},
		{
			name:  "a boothook",
			files: map[string]string{"cloudinit/10_hook.sh": "#cloud-boothook\n#!/bin/sh\nexit 3\n"},
			want:  []string{"10_hook.sh (boothook) failed with exit status 3"},
		},
		{
			name:  "something left running keeps nobody waiting",
			files: runcmd("- sleep 300 &\n- 'echo late >&2'\n"),
			after: "pkill -f '[s]leep 300'",
		},
		{
			name:  "signals are those of a program that somebody started",
			files: runcmd("- awk '/^SigIgn/ { print $2 }' /proc/self/status >/ignored\n"),
			// Signals 32 and 33 are glibc's own: no program can give them back, and who started the lab may ignore
			// them.
			after: "cat /ignored >&2; case $(cat /ignored) in 0000000[01][08]0000000) ;; *) exit 1 ;; esac",
		},
		{
			name:   "another login, in another folder",
			files:  runcmd("- echo $SUDO_USER$SSH_CLIENT$HOME >/who\n"),
			before: "mkdir -p /root/.ssh && cp ~debian/.ssh/authorized_keys /root/.ssh/authorized_keys",
			vars:   []string{"user=root", "remote_folder=/var/tmp"},
			after:  "test \"$(cat /who)\" = /root",
		},
		{
			name: "no way to become root", before: "useradd -m plain && cp -r ~debian/.ssh ~plain/ && chown -R plain " +
				"~plain/.ssh",
			files: runcmd("- touch /third\n"), vars: []string{"user=plain"},
			want: []string{"become root on the machine: sudo -n failed with exit status 1", "password is required",
				"execute_command"},
			after: "test ! -e /third",
		},
		{
			name: "execute_command", before: "printf 'plain ALL=(ALL) NOPASSWD: /usr/bin/env\\n' >/etc/sudoers.d/plain",
			files: runcmd("- id -u >/who\n"), vars: []string{"user=plain",
				"execute_command=sudo -n env {{ .Command }}"},
			after: "test \"$(cat /who)\" = 0",
		},
		{
			name: "a folder that takes nothing", files: runcmd("- touch /third\n"),
			vars: []string{"remote_folder=/proc"},
			want: []string{"upload the payload to /proc/", "remote_folder"},
		},
		{
			name: "cloud-init has not run", before: "mv /var/lib/cloud/instance /var/lib/cloud/away",
			files: cloudInitParts,
			want: []string{"cloud-init failed with exit status 1", "obj.pkl",
				"cloudinit/10_users.cfg: users, timezone", "cloudinit/60_more.cfg: locale"},
			after: "mv /var/lib/cloud/away /var/lib/cloud/instance",
		},
		{
			name: "no cloud-init", before: "mv /usr/bin/cloud-init /usr/bin/away", files: cloudInitParts,
			want: []string{"no cloud-init on the machine", "cloudinit/10_users.cfg: users, timezone",
				"cloudinit/60_more.cfg: locale", "nothing has been changed"},
		},
		{
			name: "no cloud-init, and no need for it",
			files: map[string]string{"cloudinit/60_app.cfg": "#cloud-config\nruncmd: [touch /commands]\n",
				"fs/opt/file": "x", "script/install.sh": "#!/bin/sh\ntouch /installed\n"},
			after: "test -e /commands && test -e /installed && test -e /opt/file && mv /usr/bin/away " +
				"/usr/bin/cloud-init",
		},
		{
			name:  "a reboot",
			files: runcmd("- reboot\n- touch /third\n"),
			want:  []string{"only the builder bakery-userdata continues after"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.before != "" {
				l.sh(t, m.id, c.before)
			}
			r := m.apply(t, write(t, c.files), c.vars...)
			if failed := r.Code != 0; failed != (len(c.want) > 0) {
				t.Errorf("exit status %d", r.Code)
			}
			// Packer wraps long lines.
			flat := strings.Join(strings.Fields(strings.ReplaceAll(r.Output, "==> null.machine:", "")), " ")
			for _, want := range c.want {
				if !strings.Contains(flat, want) {
					t.Errorf("packer did not say %q", want)
				}
			}
			if c.name == "a reboot" {
				return // it is down
			}
			if c.after != "" {
				l.sh(t, m.id, c.after)
			}
			if left := m.leftBehind(t); left != "" {
				t.Errorf("left behind:\n%s", left)
			}
		})
	}
}

// TestLiveInterrupt checks that an interrupt ends the step on the machine and removes what was uploaded.
func TestLiveInterrupt(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	m := l.startSSH(t, "bookworm", "")
	source := write(t, runcmd("- sleep 600\n"))
	r := l.interrupted(t, "60_app.cfg", "-var", "source="+source, "-var", "host="+m.address, "-var", "key="+m.key,
		absolute(t, "testdata/live.pkr.hcl"))
	if r.Code == 0 {
		t.Errorf("it succeeded:\n%s", r.Output)
	}
	var left string
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(time.Second) {
		if left = m.leftBehind(t) + l.sh(t, m.id, "pgrep -af '[s]leep 600'; true"); left == "" {
			return
		}
	}
	t.Errorf("left behind:\n%s\n%s", left, r.Output)
}

// TestLiveLarge applies a large fs/, which is uploaded from the disk.
func TestLiveLarge(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	m := l.startSSH(t, "bookworm", "")
	source := t.TempDir()
	if err := os.MkdirAll(filepath.Join(source, "fs/opt"), 0o755); err != nil {
		t.Fatal(err)
	}
	sum := randomFile(t, filepath.Join(source, "fs/opt/big"), bigFileSize())
	if r := m.apply(t, source, "remote_folder=/var/tmp"); r.Code != 0 {
		t.Fatal("it failed")
	}
	if got := l.sh(t, m.id, "sha256sum </opt/big"); !strings.HasPrefix(got, sum) {
		t.Errorf("the large file came out as %s, not %s", got, sum)
	}
	if left := m.leftBehind(t); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}
