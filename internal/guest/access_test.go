// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The keys of these tests: of the launch, of the base image, and of the user.
const (
	launched = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILaunch launch"
	based    = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQBase admin@base"
	wanted   = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIWanted app@user"

	adminKeys = "home/admin/.ssh/authorized_keys"
	rootKeys  = "root/.ssh/authorized_keys"
	sudoRules = "etc/sudoers.d/90-cloud-init-users"
	adminRule = "\n# User rules for admin\nadmin ALL=(ALL) NOPASSWD:ALL\n"
	sudoHead  = "# Created by cloud-init v. 22.4.2 on Thu, 01 Jan 1970 00:00:00 +0000\n"
)

// machine is a directory with the files of a machine, on which keys.py and rules.py run.
type machine struct {
	*testing.T
	root string
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t, t.TempDir()}
	data, err := json.Marshal(map[string]any{"v1": map[string]any{"public_ssh_keys": []string{launched}}})
	if err != nil {
		t.Fatal(err)
	}
	m.write(map[string]string{
		"run/cloud-init/instance-data.json": string(data),
		"bin/getent": "#!/bin/sh\nprintf '%s\\n' root:x:0:0::/root:/bin/sh " +
			"admin:x:1000:1000:Bj\xf6rn:/home/admin:/bin/sh app:x:1001:1001::/srv/app:/bin/sh " +
			"none:x:1002:1002::/nonexistent:/bin/false\n",
		"lib/cloudinit/__init__.py": "",
		"lib/cloudinit/util.py": "def read_conf_with_confd(path):\n" +
			"    return {'system_info': {'default_user': {'name': 'admin'}}}\n",
		"var/lib/bakery/log": "",
	})
	return m
}

func (m *machine) write(files map[string]string) {
	m.Helper()
	for name, content := range files {
		path := filepath.Join(m.root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			m.Fatal(err)
		}
		mode := os.FileMode(0o600)
		if strings.HasPrefix(name, "bin/") {
			mode = 0o755
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			m.Fatal(err)
		}
	}
}

// run runs keys.py and rules.py, as the guest program gets them.
func (m *machine) run(word string) {
	m.Helper()
	for name, source := range map[string][]byte{"keys.py": keysSource, "rules.py": rulesSource} {
		program := filepath.Join(m.root, "var/lib/bakery", name)
		if err := os.WriteFile(program, pythonProgram(source), 0o600); err != nil {
			m.Fatal(err)
		}
		cmd := exec.CommandContext(m.Context(), "sh", "-c", `exec python3 "$@"`, "sh", program, word)
		cmd.Env = []string{
			"BAKERY_ROOT=" + m.root, "PATH=" + m.root + "/bin:/usr/bin:/bin", "PYTHONPATH=" + m.root + "/lib",
			"LC_ALL=C", "PYTHONDONTWRITEBYTECODE=1",
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			m.Fatalf("%s %s: %v\n%s", name, word, err, out)
		}
	}
}

// bake writes the files that exist before cloud-init, after it and after the steps, and cleans up.
func (m *machine) bake(before, cloudInit, steps map[string]string) {
	m.Helper()
	m.write(before)
	m.run("before")
	m.write(cloudInit)
	m.run("after")
	m.write(steps)
	m.run("clean")
}

func (m *machine) expect(files map[string]string) {
	m.Helper()
	for name, want := range files {
		content, err := os.ReadFile(filepath.Join(m.root, name))
		got := string(content)
		if err != nil {
			got = "missing"
		}
		if diff := cmp.Diff(want, got); diff != "" {
			m.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// refusing is what cloud-init puts before the keys of root (DISABLE_USER_OPTS of cloudinit/ssh_util.py).
const refusing = `no-port-forwarding,no-agent-forwarding,no-X11-forwarding,command="echo 'Please login as the user ` +
	`\"admin\" rather than the user \"root\".';echo;sleep 10;exit 142" `

func TestTheKeysOfTheLaunchAloneAreRemoved(t *testing.T) {
	const text = "users:\n- default\n- name: app\n  ssh_authorized_keys: ['" + wanted + "']\n"
	for name, c := range map[string]struct {
		before, cloudInit, steps map[string]string
		want                     map[string]string
	}{
		"a key pair": {
			cloudInit: map[string]string{adminKeys: launched + "\n", rootKeys: refusing + launched + "\n"},
			want:      map[string]string{adminKeys: "missing", rootKeys: "missing"},
		},
		"keys of the cloud-config, also below another home": {
			cloudInit: map[string]string{
				"var/lib/cloud/instance/cloud-config.txt": text,
				"srv/app/.ssh/authorized_keys":            wanted + "\n",
				adminKeys:                                 launched + "\n" + wanted + "\n",
			},
			want: map[string]string{"srv/app/.ssh/authorized_keys": wanted + "\n", adminKeys: wanted + "\n"},
		},
		"the key pair is in the cloud-config too": {
			cloudInit: map[string]string{
				"var/lib/bakery/cloud-config.cfg": "#cloud-config\nssh_authorized_keys: ['" + launched + "']\n",
				adminKeys:                         launched + "\n",
			},
			want: map[string]string{adminKeys: launched + "\n"},
		},
		"the key pair is in fs/ too": {
			cloudInit: map[string]string{adminKeys: launched + "\n", rootKeys: refusing + launched + "\n"},
			steps: map[string]string{adminKeys: launched + "\n" + wanted + "\n",
				"var/lib/bakery/fs.files": "var/lib/bakery/fs.dirs.sh\n" + adminKeys + "\n"},
			want: map[string]string{adminKeys: launched + "\n" + wanted + "\n"},
		},
		"a step adds the key pair by its own text": {
			cloudInit: map[string]string{adminKeys: launched + "\n"},
			steps: map[string]string{adminKeys: launched + "\n",
				"var/lib/bakery/steps/001/0": "echo '" + launched + "' >>~admin/.ssh/authorized_keys\n"},
			want: map[string]string{adminKeys: launched + "\n"},
		},
		"a step adds keys, and copies those of the launch": {
			cloudInit: map[string]string{adminKeys: launched + "\n"},
			steps: map[string]string{"srv/app/.ssh/authorized_keys": launched + "\n" + wanted + "\n",
				adminKeys: "# mine\n" + wanted + "\nfrom=\"10.0.0.0/8\" " + launched + "\n"},
			want: map[string]string{"srv/app/.ssh/authorized_keys": wanted + "\n",
				adminKeys: "# mine\n" + wanted + "\n"},
		},
		"sshd reads another file": {
			before: map[string]string{
				"etc/ssh/sshd_config": "AuthorizedKeysFile /etc/ssh/keys/%u .ssh/authorized_keys\n",
			},
			cloudInit: map[string]string{"etc/ssh/keys/admin": launched + "\n" + wanted + "\n"},
			want:      map[string]string{"etc/ssh/keys/admin": wanted + "\n"},
		},
		"the metadata is not known": {
			before:    map[string]string{"run/cloud-init/instance-data.json": "{", adminKeys: based + "\n"},
			cloudInit: map[string]string{adminKeys: based + "\n" + launched + "\n"},
			want:      map[string]string{adminKeys: based + "\n"},
		},
		"an empty file of the base image": {
			before:    map[string]string{adminKeys: ""},
			cloudInit: map[string]string{adminKeys: launched + "\n"},
			want:      map[string]string{adminKeys: ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			m.bake(c.before, c.cloudInit, c.steps)
			m.expect(c.want)
		})
	}
}

// rewritten is what cloud-init makes of the lines of a file (AuthKeyLineParser and update_authorized_keys).
func TestTheLinesOfTheBaseImageStayAsTheyWere(t *testing.T) {
	const other = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQOther"
	for name, c := range map[string]struct{ before, cloudInit, want string }{
		"two blanks":              {"ssh-rsa  AAAAB3NzaC1yc2EBase\tme\n", "ssh-rsa AAAAB3NzaC1yc2EBase me\n", ""},
		"a blank at the end":      {based + " \n", based + "\n", ""},
		"the line ends of DOS":    {based + "\r\n" + other + "\r\n", based + "\n" + other + "\n", ""},
		"a byte that is no UTF-8": {based + "\xe9\n" + other + "\n", based + "\xe9\n" + other + "\n", ""},
		"no line end":             {based, based + "\n", ""},
		"options": {"from=\"10.0.0.1\",no-pty  " + based + "\n",
			"from=\"10.0.0.1\",no-pty " + based + "\n", ""},
		"an option with a key": {"command=\"echo " + launched + "\" " + based + "\n",
			"command=\"echo " + launched + "\" " + based + "\n", ""},
		"comments": {"#  " + launched + "\r\n\n " + based + "\n", "#  " + launched + "\n\n" + based + "\n", ""},
		"the key of the launch": {"no-pty " + launched + "x\n" + based + "\n",
			refusing + launched + "\n" + based + "\n", ""},
		"a file that write_files replaced": {based + "\n" + other + "  x\n", "# new\n" + other + " x\n",
			"# new\n" + other + " x\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			added := launched + "\n"
			if name == "the key of the launch" {
				added = ""
			}
			m.bake(map[string]string{rootKeys: c.before}, map[string]string{rootKeys: c.cloudInit + added}, nil)
			if c.want == "" {
				c.want = c.before
			}
			m.expect(map[string]string{rootKeys: c.want})
		})
	}
}

func TestTheRuleOfTheDefaultUserAloneIsRemoved(t *testing.T) {
	const appRule = "\n# User rules for app\napp ALL=(ALL) NOPASSWD:ALL\napp ALL=(www) ALL\n"
	const config = "var/lib/cloud/instance/cloud-config.txt"
	for name, c := range map[string]struct {
		before, cloudInit, steps, config, want string
	}{
		"cloud-init's alone":     {"missing", sudoHead + adminRule, "", "", "missing"},
		"another user's":         {"missing", sudoHead + adminRule + appRule, "", "name: app", sudoHead + appRule},
		"another user's, before": {"missing", sudoHead + appRule + adminRule, "", "name: app", sudoHead + appRule},
		"the user asked for the default user": {"missing", sudoHead + adminRule, "",
			"users:\n- {\"name\": \"admin\", sudo: x}", sudoHead + adminRule},
		"another name":                {"missing", sudoHead + adminRule, "", "users:\n- name: admin-tools", "missing"},
		"the base image's":            {"ops ALL=ALL\n", "ops ALL=ALL\n" + adminRule, "", "", "ops ALL=ALL\n"},
		"the base image has the same": {sudoHead + adminRule, sudoHead + adminRule, "", "", sudoHead + adminRule},
		"cloud-init 19.3 doubles it": {sudoHead + adminRule, sudoHead + adminRule + adminRule, "", "",
			sudoHead + adminRule},
		"a step adds a rule": {"missing", sudoHead + adminRule, sudoHead + adminRule + "ops ALL=ALL\n", "",
			sudoHead + "ops ALL=ALL\n"},
		"a step changes the rule": {"missing", sudoHead + adminRule,
			sudoHead + "\n# User rules for admin\nadmin ALL=ALL\n", "",
			sudoHead + "\n# User rules for admin\nadmin ALL=ALL\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMachine(t)
			before, steps := map[string]string{}, map[string]string{}
			if c.before != "missing" {
				before[sudoRules] = c.before
			}
			if c.steps != "" {
				steps[sudoRules] = c.steps
			}
			m.bake(before, map[string]string{sudoRules: c.cloudInit, config: c.config}, steps)
			m.expect(map[string]string{sudoRules: c.want})
		})
	}
}

func TestTheRulesOfDoasAreTreatedAlike(t *testing.T) {
	m := newMachine(t)
	m.bake(map[string]string{"etc/doas.conf": "permit :wheel\n"}, map[string]string{"etc/doas.conf": "" +
		"permit :wheel\n\n# cloud-init User rules for admin\npermit nopass admin\n" +
		"\n# cloud-init User rules for app\npermit app\n"}, nil)
	m.expect(map[string]string{"etc/doas.conf": "permit :wheel\n\n# cloud-init User rules for app\npermit app\n"})
}

func TestTheRulesOfFSStay(t *testing.T) {
	m := newMachine(t)
	m.bake(nil, map[string]string{sudoRules: sudoHead + adminRule}, map[string]string{
		"var/lib/bakery/fs.files": sudoRules + "\n", sudoRules: sudoHead + adminRule})
	m.expect(map[string]string{sudoRules: sudoHead + adminRule})
}

func TestOnlyAMachineWithAKeyPairHasTheProgramForIt(t *testing.T) {
	document, err := Document(Program{})
	if err != nil {
		t.Fatal(err)
	}
	for _, keyPair := range []bool{false, true} {
		delivered, err := Deliver(document, testLaunch, Delivery{Timeout: time.Minute, KeyPair: keyPair})
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(delivered, []byte("cat >keys.py <<")) != keyPair {
			t.Errorf("with a key pair %v, keys.py is in the user data or missing", keyPair)
		}
	}
}
