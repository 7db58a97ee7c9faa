// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/imagesource"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// newKey makes a key and returns its public line, without a line end.
func newKey(t *testing.T, comment string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	generate := exec.CommandContext(t.Context(), "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment,
		"-f", file)
	if out, err := generate.CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	line, err := os.ReadFile(file + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(line))
}

// importKey makes a key pair of the account, and returns its name.
func (l *lab) importKey(t *testing.T, public string) string {
	t.Helper()
	name, c := testName(t), l.ec2(l.values["AWS_REGION"])
	_, err := c.ImportKeyPair(t.Context(), &ec2.ImportKeyPairInput{KeyName: &name, PublicKeyMaterial: []byte(public)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		if _, err := c.DeleteKeyPair(context.Background(), &ec2.DeleteKeyPairInput{KeyName: &name}); err != nil {
			t.Logf("delete the key pair: %v", err)
		}
	})
	return name
}

// content returns a file of an image, or "missing".
func (l *lab) content(t *testing.T, image, path string) string {
	t.Helper()
	r := packertest.Run(t, t.TempDir(), l.environ(t), packertest.Built(t).Lab, "cat", image, path)
	if r.Code != 0 {
		return "missing"
	}
	return r.Output
}

func (l *lab) expectContent(t *testing.T, image string, files map[string]string) {
	t.Helper()
	for path, want := range files {
		if diff := cmp.Diff(want, l.content(t, image, path)); diff != "" {
			t.Errorf("%s of the image (-want +got):\n%s", path, diff)
		}
	}
}

const (
	sudoFile  = "/etc/sudoers.d/90-cloud-init-users"
	rootsKeys = "/root/.ssh/authorized_keys"
)

// baseWithAccess bakes an image that has keys and rules of its own, in lines that cloud-init writes anew.
func (l *lab) baseWithAccess(t *testing.T, suite, lines, opsKey string) string {
	t.Helper()
	source := write(t, map[string]string{
		"fs/opt/root.keys": lines, "fs/opt/ops.keys": "\xe9 " + opsKey + " b\xe9\r\n",
		"script/install.sh": `#!/bin/sh
set -e
useradd -m -d /srv/ops -s /bin/sh ops
mkdir -p -m 700 /root/.ssh /srv/ops/.ssh
cat /opt/root.keys >>/root/.ssh/authorized_keys
mv /opt/ops.keys /srv/ops/.ssh/authorized_keys
echo 'ops ALL=(ALL) NOPASSWD: /bin/true' >>` + sudoFile + `
chmod 0440 ` + sudoFile + "\n"})
	name := testName(t)
	return l.bake(t, name, absolute(t, "testdata/own.pkr.hcl"), "source="+source, "name="+name,
		"source_ami="+l.values["BAKERY_LAB_AMI_"+strings.ToUpper(suite)])
}

// TestTheImageGivesAccessToWhoTheUserAskedFor bakes with a key pair. The keys and sudo rules of the cloud-config, of
// fs/, of a step and of the base image have to be in the image, and nothing of the launch; and the image has to boot
// with the key of its own launch.
func TestTheImageGivesAccessToWhoTheUserAskedFor(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	for _, suite := range part(strings.Split(*guests, ",")) {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			l.checkAccess(t, suite)
		})
	}
}

func (l *lab) checkAccess(t *testing.T, suite string) {
	t.Helper()
	launch, app, all, inFS, inStep, ops := newKey(t, "launch"), newKey(t, "app"), newKey(t, "all"), newKey(t, "fs"),
		newKey(t, "step"), newKey(t, "ops")
	kinds := []string{newKey(t, "blanks"), newKey(t, "trailing"), newKey(t, "dos"), newKey(t, "options")}
	lines := "# ours  \r\n" + strings.Replace(kinds[0], " ", "  ", 1) + "\n" + kinds[1] + " \n" + kinds[2] + "\r\n" +
		"from=\"10.0.0.0/8\",no-pty  " + kinds[3] + "\n"
	base := l.baseWithAccess(t, suite, lines, ops)
	l.expectContent(t, base, map[string]string{rootsKeys: lines})
	key := l.importKey(t, launch)
	source := map[string]string{
		"cloudinit/60_users.cfg": "#cloud-config\nusers:\n- default\n- name: app\n  homedir: /srv/app\n" +
			"  sudo: ['ALL=(ALL) NOPASSWD:ALL']\n  ssh_authorized_keys: ['" + app + "']\n" +
			"ssh_authorized_keys: ['" + all + "']\n",
		"fs/srv/deploy/.ssh/authorized_keys": inFS + "\n" + launch + "\n",
		"script/install.sh": "#!/bin/sh\nset -e\nuseradd -d /srv/deploy deploy\n" +
			"useradd -m -d /srv/ci ci && mkdir /srv/ci/.ssh\n" +
			"cp ~debian/.ssh/authorized_keys /srv/ci/.ssh/authorized_keys\n" +
			"echo '" + inStep + "' >>/srv/ci/.ssh/authorized_keys\n" +
			"echo 'ci ALL=(ALL) ALL' >>" + sudoFile + "\n",
	}
	for name, more := range map[string]map[string]string{
		"launched": {},
		"staged": {
			"cloudinit/61_large.cfg": "#cloud-config\nwrite_files:\n- path: /opt/x\n  content: " + large() + "\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := map[string]string{}
			for _, m := range []map[string]string{source, more} {
				maps.Copy(files, m)
			}
			image := testName(t)
			id := l.bake(t, image, absolute(t, "testdata/own.pkr.hcl"), "source="+write(t, files), "name="+image,
				"source_ami="+base, "key_name="+key)
			rules := l.content(t, id, sudoFile)
			for rule, want := range map[string]bool{`ops ALL=\(ALL\) NOPASSWD: /bin/true`: true,
				`# User rules for app\napp ALL=\(ALL\) NOPASSWD:ALL`: true, `ci ALL=\(ALL\) ALL`: true, `debian`: false} {
				if regexp.MustCompile(rule).MatchString(rules) != want {
					t.Errorf("rule %q: want %v in\n%s", rule, want, rules)
				}
			}
			root := l.content(t, id, rootsKeys)
			if rest, ok := strings.CutPrefix(root, lines); !ok || !strings.HasSuffix(rest, all+"\n") ||
				strings.Count(rest, "\n") != 1 {
				t.Errorf("root has %q, want %q and the key of ssh_authorized_keys", root, lines)
			}
			l.expectContent(t, id, map[string]string{
				"/srv/app/.ssh/authorized_keys":     app + "\n",
				"/home/debian/.ssh/authorized_keys": all + "\n",
				"/srv/deploy/.ssh/authorized_keys":  inFS + "\n" + launch + "\n",
				"/srv/ci/.ssh/authorized_keys":      all + "\n" + inStep + "\n",
				"/srv/ops/.ssh/authorized_keys":     "\xe9 " + ops + " b\xe9\r\n",
			})
			l.checkOwnKey(t, id, launch)
		})
	}
}

// large is a text that makes the user data too large for EC2.
func large() string {
	const size = 20000
	var b strings.Builder
	for _, c := range []byte(incompressible(size)) {
		b.WriteByte("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_"[c&63])
	}
	return b.String()
}

// checkOwnKey boots an image with another key pair. Its default user has to have that key, and be able to use sudo.
func (l *lab) checkOwnKey(t *testing.T, image, launch string) {
	t.Helper()
	machineSlots.acquire(t)
	own := newKey(t, "own")
	out, err := l.ec2(l.values["AWS_REGION"]).RunInstances(t.Context(), &ec2.RunInstancesInput{
		ImageId: &image, KeyName: aws.String(l.importKey(t, own)), InstanceType: types.InstanceTypeT3Micro,
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
	})
	if err != nil {
		t.Fatal(err)
	}
	id := *out.Instances[0].InstanceId
	env := l.environ(t)
	t.Cleanup(func() {
		cmd := exec.Command(packertest.Built(t).Lab, "terminate", id)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("bakery-lab terminate %s: %v\n%s", id, err, out)
		}
	})
	l.mustWaitFor(t, id, "running")
	script := "until [ -s /run/cloud-init/result.json ]; do sleep 0.2; done; cat ~debian/.ssh/authorized_keys; " +
		"runuser -u debian -- sudo -n true && echo sudo"
	keys, err := l.exec(t, id, "sh", "-c", script)
	for i := 0; err != nil && i < 3000; i++ { // a machine that has just started has no PID 1 yet
		time.Sleep(200 * time.Millisecond)
		keys, err = l.exec(t, id, "sh", "-c", script)
	}
	// EC2 replaces the comment by the name of the key pair.
	if !strings.Contains(keys, strings.Fields(own)[1]) || strings.Contains(keys, strings.Fields(launch)[1]) ||
		!strings.HasSuffix(keys, "sudo") {
		t.Errorf("the default user of a new machine has\n%s", keys)
	}
}

// example returns a path that a pattern of the clean-up matches.
func examplePath(c imagesource.Cleaned, word string) string {
	path := strings.Replace(c.Pattern, "~/", "/root/", 1)
	if strings.HasSuffix(path, "/") {
		path += word
	}
	path = strings.ReplaceAll(path, "*", word)
	if strings.HasPrefix(c.Pattern, "/var/lib/cloud/") { // a directory
		path += "/" + word
	}
	return path
}

// TestOwnContentSurvivesTheCleanUpOrIsAnnounced plants a file at every path that the clean-up touches, by the base
// image, by fs/ and by a step. A file of fs/ has to be in the image, or a warning names it. One of the base image or a
// step has to be in the image unless the manual lists the path as removed; see TestTheManualNamesEveryPathOfTheCleanUp.
func TestOwnContentSurvivesTheCleanUpOrIsAnnounced(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	var base, step strings.Builder
	files := map[string]string{}
	for _, c := range imagesource.CleanUp {
		files["fs"+examplePath(c, "fs")] = "# of fs\n"
		if c.Effect != imagesource.KeepsOwn || !strings.Contains(c.Pattern, "*") {
			continue
		}
		for script, word := range map[*strings.Builder]string{&base: "base", &step: "step"} {
			path := examplePath(c, word)
			script.WriteString("mkdir -p '" + filepath.Dir(path) + "' && echo '# of " + word + "' >'" + path + "'\n")
		}
	}
	image := testName(t)
	first := l.bake(t, image+"-base", absolute(t, "testdata/own.pkr.hcl"), "name="+image+"-base",
		"source="+write(t, map[string]string{"script/install.sh": "#!/bin/sh\nset -e\n" + base.String()}),
		"source_ami="+l.values["BAKERY_LAB_AMI_BOOKWORM"])
	files["script/install.sh"] = "#!/bin/sh\nset -e\n" + step.String()
	r := l.build(t, absolute(t, "testdata/own.pkr.hcl"), "name="+image, "source="+write(t, files), "source_ami="+first)
	if r.Code != 0 {
		t.Fatal("the bake failed")
	}
	id := l.onlyImage(t, image)
	for _, c := range imagesource.CleanUp {
		path := examplePath(c, "fs")
		isThere := l.content(t, id, path) == "# of fs\n"
		isAnnounced := strings.Contains(r.Output, "fs"+path+": warning: the clean-up")
		if isThere == isAnnounced {
			t.Errorf("fs%s: in the image %v, announced %v", path, isThere, isAnnounced)
		}
		if c.Effect != imagesource.KeepsOwn || !strings.Contains(c.Pattern, "*") {
			continue
		}
		for _, word := range []string{"base", "step"} {
			if got := l.content(t, id, examplePath(c, word)); got != "# of "+word+"\n" {
				t.Errorf("%s, written by the %s, is %q", examplePath(c, word), word, got)
			}
		}
	}
}

// TestTheImageHasNoNetworkOfItsLaunch writes what cloud-init and DHCP clients of other distributions write, with the
// address of the machine's own card, and files of the user's beside it.
func TestTheImageHasNoNetworkOfItsLaunch(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	gone := map[string]string{
		"/etc/NetworkManager/system-connections/cloud-init-eth0.nmconnection": "" +
			"# Generated by cloud-init. Changes will be lost.\n[ethernet]\nmac-address=$mac\n",
		"/etc/sysconfig/network-scripts/ifcfg-eth0": "# Created by cloud-init automatically, do not edit.\n#\n" +
			"HWADDR=$mac\n",
		"/etc/sysconfig/network/ifroute-eth0":          "# Created by cloud-init automatically, do not edit.\n#\n",
		"/etc/netplan/50-cloud-init.yaml":              "network: {ethernets: {eth0: {match: {macaddress: '$mac'}}}}\n",
		"/etc/systemd/network/10-cloud-init-e.network": "[Match]\nMACAddress=$mac\n",
		"/etc/udev/rules.d/70-persistent-net.rules":    "SUBSYSTEM==\"net\", ATTR{address}==\"$mac\", NAME=\"eth0\"\n",
		"/var/lib/dhcpcd/eth0.lease":                   "x\n",
		"/var/lib/wicked/lease-eth0-dhcp-ipv4.xml":     "x\n",
		"/var/lib/NetworkManager/internal-1.lease":     "x\n",
		"/var/lib/dhclient/dhclient--eth0.lease":       "x\n",
	}
	stays := map[string]string{
		"/etc/NetworkManager/system-connections/cloud-init-mine.nmconnection": "[connection]\nid=mine\n",
		"/etc/sysconfig/network-scripts/ifcfg-mine":                           "DEVICE=mine\n",
		"/etc/systemd/network/10-cloud-init-mine.network": "[Match]\n" +
			"MACAddress=02:00:00:00:00:07\n",
		"/var/lib/dhcp/dhcpd.leases": "mine\n",
	}
	script := "#!/bin/sh\nset -e\nmac=$(cat /sys/class/net/*/address | grep -v 00:00:00:00:00:00 | head -n 1)\n" +
		"test -n \"$mac\"\n"
	for _, all := range []map[string]string{gone, stays} {
		for path, content := range all {
			script += "mkdir -p " + filepath.Dir(path) + "\ncat >" + path + " <<END\n" + content + "END\n"
		}
	}
	image := testName(t)
	id := l.bake(t, image, absolute(t, "testdata/own.pkr.hcl"), "name="+image,
		"source="+write(t, map[string]string{"script/install.sh": script}),
		"source_ami="+l.values["BAKERY_LAB_AMI_BOOKWORM"])
	l.expectContent(t, id, stays)
	for path := range gone {
		if got := l.content(t, id, path); got != "missing" {
			t.Errorf("%s is in the image:\n%s", path, got)
		}
	}
	if got := l.content(t, id, "/etc/network/interfaces.d/50-cloud-init"); got != "missing" {
		t.Errorf("what cloud-init itself wrote is in the image:\n%s", got)
	}
}
