//go:build vm

// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bytes"
	"debug/elf"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/disk"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// vmPatience is the time limit for one boot on an emulated processor, which takes one minute, or three on a busy
// computer.
const vmPatience = 10 * time.Minute

// nobody is a user without rights.
const nobody = 65534

// onVMs starts a lab of virtual machines with Debian 12 as a user without rights. Only the base image needs root.
func onVMs(t *testing.T, flags ...string) *lab { return onVMsWith(t, nil, flags...) }

// onVMsWith starts a lab of virtual machines that has more base images. Every lab needs that of Debian 12.
func onVMsWith(t *testing.T, suites []string, flags ...string) *lab {
	t.Helper()
	dir, err := os.MkdirTemp("", "bakery-vm-") //nolint:usetesting // nobody may not enter t.TempDir's
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	home, base, program := filepath.Join(dir, "home"), filepath.Join(dir, "base"), filepath.Join(dir, "bakery-lab")
	requireNoErrors(t, os.Chmod(dir, 0o755), os.MkdirAll(filepath.Join(base, "base"), 0o755), os.Mkdir(home, 0o700),
		os.Chown(home, nobody, nobody), os.Chown(dir, nobody, nobody))
	for _, suite := range append([]string{"bookworm"}, suites...) {
		copyBase(t, suite, dir, filepath.Join(base, "base"))
	}
	// Who has no rights may not read the folder this was built in.
	for _, architecture := range []string{"", "-arm64"} {
		text, err := os.ReadFile(packertest.Built(t).Lab + architecture)
		requireNoErrors(t, err, os.WriteFile(program+architecture, text, 0o755))
	}
	homes := []string{"BAKERY_LAB_HOME=" + home, "BAKERY_LAB_BASE=" + base}
	l, err := serveIn(dir, homes, &syscall.Credential{Uid: nobody, Gid: nobody}, program,
		append([]string{"--runner", "qemu"}, flags...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { requireNoErrors(t, l.stop()) })
	return l
}

// copyBase makes a base image, when there is none, and copies it to a place that others can read.
func copyBase(t *testing.T, suite, dir, to string) {
	t.Helper()
	homes, err := labHomes(dir)
	requireNoErrors(t, err)
	env := append(slices.Clip(hostEnvironment), homes...)
	if r := packertest.Run(t, dir, env, packertest.Built(t).Lab, "image", "build", "--suite", suite); r.Code != 0 {
		t.Fatalf("bakery-lab image build: exit status %d\n%s", r.Code, r.Output)
	}
	_, cache, _ := strings.Cut(homes[1], "=")
	files, err := filepath.Glob(filepath.Join(cache, "base", suite+"-*"))
	requireNoErrors(t, err)
	for _, file := range files {
		copied := filepath.Join(to, filepath.Base(file))
		requireNoErrors(t, disk.Clone(file, copied), os.Chmod(copied, 0o644))
	}
}

func requireNoErrors(t *testing.T, problems ...error) {
	t.Helper()
	for _, err := range problems {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestVM bakes example/hello on a virtual machine, searches the image's raw disk for what must not be there, and boots
// the image as a virtual machine again, which has to say on its console what a user of the image would look for.
func TestVM(t *testing.T) {
	l := onVMs(t)
	id, output := l.bakeHello(t, "log_url=s3://"+l.values["BAKERY_LAB_BUCKET"]+"/vm")
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	l.searchDisk(t, id, output)
	instance := l.bootVM(t, id)
	l.rebootVM(t, instance)
	l.stopVM(t, instance)
	l.killSettings(t, id)
}

// bakeHello bakes example/hello, and returns the image's id and what Packer printed.
func (l *lab) bakeHello(t *testing.T, vars ...string) (id, output string) {
	t.Helper()
	image := testName(t)
	began := time.Now()
	r := l.build(t, example("hello"), append(vars, "ami_name="+image)...)
	if r.Code != 0 {
		t.Fatal("the bake failed")
	}
	t.Logf("the bake took %.0f s", time.Since(began).Seconds())
	return l.onlyImage(t, image), r.Output
}

// TestVMWhoseLastConsoleIsScreen bakes example/hello without staging where /dev/console is what EC2 does not show.
func TestVMWhoseLastConsoleIsScreen(t *testing.T) {
	l := onVMs(t, "--consoles", "ttyS0 tty0")
	image := testName(t)
	r := l.build(t, example("hello"), "ami_name="+image)
	if r.Code != 0 || len(l.images(t, image)) != 1 {
		t.Fatal("the bake failed")
	}
	for _, shown := range []string{"install.sh\n", "cloud-init| Cloud-init v. "} { // a report, and a live line
		if !strings.Contains(r.Output, shown) {
			t.Errorf("%q was not shown", shown)
		}
	}
}

// TestVMOfArm64 bakes on a machine of the other architecture that EC2 has.
func TestVMOfArm64(t *testing.T) {
	l := onVMsWith(t, []string{"arm64"})
	id, output := l.bakeHello(t, "instance_type=t4g.nano",
		"source_ami=resolve:ssm:/aws/service/debian/release/12/latest/arm64")
	names := baked.FindStringSubmatch(output)
	if names == nil {
		t.Fatal("packer did not say which bake this is")
	}
	for _, question := range [][]string{
		{"describe-images", "--image-ids", id, "--query", "Images[].Architecture"},
		{"describe-instances", "--instance-ids", names[1], "--query", "Reservations[].Instances[].Architecture"},
		{"describe-instance-types", "--instance-types", "t4g.nano", "--query",
			"InstanceTypes[].ProcessorInfo.SupportedArchitectures[]"},
	} {
		var answer []string
		l.aws(t, &answer, append([]string{"ec2"}, question...)...)
		if !slices.Equal(answer, []string{"arm64"}) {
			t.Errorf("%s: %v", question[0], answer)
		}
	}
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	// Only a processor of arm64 has run what is on the disk.
	program := l.cli(t, "cat", id, "/usr/bin/true")
	const machine = 18 // where an ELF header has it
	if len(program) <= machine || elf.Machine(program[machine]) != elf.EM_AARCH64 {
		t.Errorf("the image's programs are not for arm64: %.20q", program)
	}
}

// TestVMOutOfMemory bakes with a step that takes more memory than the machine has, so that its kernel kills it.
func TestVMOutOfMemory(t *testing.T) {
	l := onVMs(t)
	image := testName(t)
	r := l.build(t, absolute(t, template), "name="+image, "timeout=15m", "source="+write(t, map[string]string{
		"script/install.sh": "#!/bin/sh\nexec python3 -c '[b\"x\" * (i << 20) for i in range(99)]'\n",
	}))
	if r.Code == 0 || len(l.images(t, image)) != 0 {
		t.Fatal("the bake succeeded")
	}
	for _, want := range []string{"the kernel killed python3 for lack of memory", "script/install.sh"} {
		if !strings.Contains(r.Output, want) {
			t.Errorf("the bake does not say %q", want)
		}
	}
}

// searchDisk looks for traces of the bake in every block of the image, also in those that no file has.
func (l *lab) searchDisk(t *testing.T, id, output string) {
	t.Helper()
	names := baked.FindStringSubmatch(output)
	if names == nil {
		t.Fatal("packer did not say which bake this is")
	}
	// This text must be found, to show that the search works.
	const present = "hello from fs/"
	traces := []string{
		present, "@bakery ", names[2], // reports and the id they carry
		// the guest program, the scripts
		"bakery_power_off", "greeting=$(/usr/local/bin/hello)", "useradd --system --no-create-home",
		"X-Amz-Signature=",
	}
	var userData string
	l.aws(t, &userData, "ec2", "describe-instance-attribute", "--instance-id", names[1], "--attribute", "userData",
		"--query", "UserData.Value")
	raw, err := base64.StdEncoding.DecodeString(userData)
	requireNoErrors(t, err)
	if len(raw) < 1024 {
		t.Fatalf("the user data is of %d bytes", len(raw))
	}
	for at := 512; at+64 <= len(raw); at += 1024 { // compressed: any part of it is like no other bytes
		traces = append(traces, string(raw[at:at+64]))
	}
	var snapshots []string
	l.aws(t, &snapshots, "ec2", "describe-images", "--image-ids", id, "--query",
		"Images[].BlockDeviceMappings[].Ebs.SnapshotId")
	_, home, _ := strings.Cut(l.homes[0], "=")
	found := search(t, filepath.Join(home, "images", snapshots[0]+".img"), traces)
	for at, trace := range traces {
		if found[trace] != (trace == present) {
			t.Errorf("trace %d, %.40q: in the blocks of the image's disk is %v", at, trace, found[trace])
		}
	}
}

// search returns the texts that are in a file. It skips holes.
func search(t *testing.T, path string, texts []string) map[string]bool {
	t.Helper()
	f, err := os.Open(path)
	requireNoErrors(t, err)
	defer f.Close()
	found := map[string]bool{}
	const part, overlap = 4 << 20, 128 // no text is longer
	buffer := make([]byte, part+overlap)
	for at := int64(0); ; at += part {
		if at, err = unix.Seek(int(f.Fd()), at, unix.SEEK_DATA); errors.Is(err, unix.ENXIO) {
			return found
		}
		requireNoErrors(t, err)
		n, err := f.ReadAt(buffer, max(0, at-overlap))
		if !errors.Is(err, io.EOF) {
			requireNoErrors(t, err)
		}
		for _, text := range texts {
			found[text] = found[text] || bytes.Contains(buffer[:n], []byte(text))
		}
	}
}

// report is the user data of the image's new machine: one line on the console for everything it should be.
const report = `#!/bin/sh
say() { printf '\r\nVM-REPORT %s=%s\r\n' "$1" "$2" >/dev/console; }
say hello "$(stat -c '%a %U:%G' /usr/local/bin/hello)"
say folder "$(stat -c '%a %U:%G' /var/lib/hello)"
say order "$(tr '\n' ' ' </var/log/hello.order)"
say virtualization "$(systemd-detect-virt)"
say datasource "$(sed -n 's/.*"datasource": "\(.*\)",/\1/p' /run/cloud-init/status.json)"
say token "$(grep -c /latest/api/token /var/log/cloud-init.log)"
say unasked "$(curl -s -o /dev/null -w '%{http_code}' -H 'X-aws-ec2-metadata-token: wrong' \
	http://169.254.169.254/latest/meta-data/)"
say disk "$(findmnt -no SOURCE /)"
say keys "$(ls /etc/ssh/ssh_host_*_key | wc -l)"
say machine-id "$(grep -Ec '^[0-9a-f]{32}$' /etc/machine-id)"
say bakery "$(ls -d /var/lib/bakery* 2>/dev/null)"
say endpoint "$(curl -s -o /dev/null -w '%{http_code}' ENDPOINT/)"
say own "this machine has user data of its own"
`

var wantReport = map[string]string{
	"hello": "755 root:root", "folder": "750 hello:hello", "order": "10_before install.sh 60_after ",
	"virtualization": "amazon", "datasource": "DataSourceEc2Local", "disk": "/dev/nvme0n1", "keys": "1",
	"machine-id": "1",
	"unasked":    "401", "bakery": "", "endpoint": "403", "own": "this machine has user data of its own",
}

// bootVM boots the image and waits for its report.
func (l *lab) bootVM(t *testing.T, id string) (instance string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "user-data")
	requireNoErrors(t, os.WriteFile(file, []byte(strings.ReplaceAll(report, "ENDPOINT", l.values["AWS_ENDPOINT_URL"])),
		0o600))
	began := time.Now()
	out := l.cli(t, "boot", id, "--user-data", file, "--wait", "--timeout", vmPatience.String())
	t.Logf("the boot took %.0f s", time.Since(began).Seconds())
	instance = strings.TrimSpace(out)
	console := l.cli(t, "console", instance)
	got := map[string]string{}
	for line := range strings.Lines(console) {
		if _, printed, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "VM-REPORT "); ok {
			name, value, _ := strings.Cut(printed, "=")
			got[name] = value
		}
	}
	for name, want := range wantReport {
		if got[name] != want {
			t.Errorf("%s is %q, expected %q", name, got[name], want)
		}
	}
	if got["token"] == "" || got["token"] == "0" {
		t.Errorf("cloud-init asked %q times for a token", got["token"])
	}
	if !strings.Contains(console, "Linux version") {
		t.Error("the kernel's messages are not on the console")
	}
	if t.Failed() {
		t.Log(console)
	}
	return instance
}

// rebootVM reboots the machine from inside: the same instance, and its agent is there again.
func (l *lab) rebootVM(t *testing.T, instance string) {
	t.Helper()
	const boot = "/proc/sys/kernel/random/boot_id"
	before := l.sh(t, instance, "cat "+boot)
	began := time.Now()
	l.sh(t, instance, "systemctl --no-block reboot")
	for {
		r := packertest.Run(t, t.TempDir(), l.environ(t), packertest.Built(t).Lab, "exec", instance, "--", "cat", boot)
		if now := strings.TrimSpace(r.Output); r.Code == 0 && now != before {
			break
		}
		if time.Since(began) > vmPatience {
			t.Fatalf("the machine did not come back: %s", r.Output)
		}
		time.Sleep(time.Second)
	}
	if state := l.stateOf(t, instance); state != "running" {
		t.Errorf("after its reboot the instance is %s", state)
	}
}

func (l *lab) stateOf(t *testing.T, instance string) string {
	t.Helper()
	var states []string
	l.aws(t, &states, "ec2", "describe-instances", "--instance-ids", instance, "--query",
		"Reservations[].Instances[].State.Name")
	return strings.Join(states, " ")
}

// stopVM presses the power button, to which the machine's system has to react.
func (l *lab) stopVM(t *testing.T, instance string) {
	t.Helper()
	l.sh(t, instance, "until systemctl is-active -q systemd-logind; do sleep 1; done")
	began := time.Now()
	l.cli(t, "stop", instance)
	t.Logf("the stop took %.0f s", time.Since(began).Seconds())
	if state := l.stateOf(t, instance); state != "stopped" {
		t.Errorf("after a stop the instance is %s", state)
	}
	if console := l.cli(t, "console", instance); !strings.Contains(console, "reboot: Power down") {
		t.Errorf("the machine was not shut down in order; its console ends with\n%s",
			console[max(0, len(console)-1000):])
	}
	l.cli(t, "terminate", instance)
}

// killed checks that the machines end with a lab that is killed.
func (l *lab) killSettings(t *testing.T, id string) {
	t.Helper()
	instance := strings.TrimSpace(l.cli(t, "boot", id))
	for began := time.Now(); !emulated(t, instance); time.Sleep(100 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatal("the machine does not start")
		}
	}
	requireNoErrors(t, l.process.Kill())
	_ = l.stop() // waits for it; that it was killed is no news
	for began := time.Now(); emulated(t, instance); time.Sleep(100 * time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatal("QEMU survives its lab")
		}
	}
}

// emulated reports whether a QEMU process runs an instance.
func emulated(t *testing.T, instance string) bool {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	requireNoErrors(t, err)
	return slices.ContainsFunc(files, func(file string) bool {
		line, err := os.ReadFile(file)
		return err == nil && bytes.HasPrefix(line, []byte("qemu-system-x86_64\x00")) &&
			bytes.Contains(line, []byte(instance))
	})
}
