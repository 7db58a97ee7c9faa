// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"encoding/base64"
	"os/exec"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// probeService says on a machine on which cloud-init does not run what cloud-init would have made.
const probeService = `[Unit]
After=ssh.service
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'ls /etc/ssh/ssh_host_ed25519_key >/keys; systemctl is-active ssh >/states; echo done >/probed'
[Install]
WantedBy=multi-user.target
`

// A timer that is due at once, with a name that is held, and the service that it starts.
const (
	heldTimer   = "[Timer]\nOnActiveSec=0\nAccuracySec=100ms\n[Install]\nWantedBy=timers.target\n"
	heldService = "[Service]\nType=oneshot\nExecStart=/bin/touch /held-ran\n"
)

// TestCloudInitOffInTheImage bakes an image whose steps switch cloud-init off, after a reboot, and boots it. What
// changes packages by itself is off after the reboot, and on again in the image. Commands that trace show nothing but
// themselves.
func TestCloudInitOffInTheImage(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	const timers = "echo $(systemctl is-active dnf-makecache.timer) $(systemctl is-enabled dnf-makecache.timer) " +
		"$(ls /held-ran) >>/timers"
	source := write(t, map[string]string{
		"fs/etc/systemd/system/probe.service":         probeService,
		"fs/etc/systemd/system/dnf-makecache.timer":   heldTimer,
		"fs/etc/systemd/system/dnf-makecache.service": heldService,
		"fs/etc/cloud/cloud.cfg.d/99_own.cfg":         "own: kept\n",
		"cloudinit/60_app.cfg": "#cloud-config\nruncmd:\n- set -x\n- systemctl enable probe " +
			"dnf-makecache.timer\n- [reboot]\n" +
			"- " + timers + "\n- touch /etc/cloud/cloud-init.disabled /etc/cloud/own\n",
	})
	r := l.build(t, absolute(t, template), "source="+source, "name="+image)
	if r.Code != 0 {
		t.Fatalf("packer build: exit status %d", r.Code)
	}
	if want := "cloud-init is off in the image (/etc/cloud/cloud-init.disabled)"; !strings.Contains(r.Output, want) {
		t.Errorf("the bake does not say %q", want)
	}
	for _, own := range []string{"__bakery", "runcmd.ended", "bakery_", "+ case"} {
		if strings.Contains(r.Output, own) {
			t.Errorf("the log shows %q, which is none of the commands", own)
		}
	}
	if want := "+ systemctl enable probe dnf"; !strings.Contains(r.Output, want) {
		t.Errorf("the log does not show the trace of a command, %q", want)
	}
	id := l.onlyImage(t, image)
	if got, want := l.cli(t, "cat", id, "/timers"), "inactive enabled"; got != want {
		t.Errorf("while the steps ran, the timers were\n%s\nwant\n%s", got, want)
	}
	for path, want := range map[string]string{
		"/etc/cloud/cloud-init.disabled": "", "/etc/cloud/own": "", "/etc/cloud/cloud.cfg.d/99_own.cfg": "own: kept",
	} {
		if got := l.cli(t, "cat", id, path); got != want {
			t.Errorf("%s has %q, want %q", path, got, want)
		}
	}
	if got := l.cli(t, "cat", id, "/etc/sudoers.d/90-cloud-init-users"); !strings.Contains(got, "NOPASSWD") {
		t.Errorf("the sudo rule of the default user is %q", got)
	}
	instance := l.launchImage(t, id, nil)
	l.awaitFile(t, instance, "/probed")
	if got, want := l.sh(t, instance, "cat /keys /states"), "/etc/ssh/ssh_host_ed25519_key\nactive"; got != want {
		t.Errorf("the booted machine has the key and sshd\n%s\nwant\n%s", got, want)
	}
	status := l.sh(t, instance, "systemctl is-system-running --wait >/dev/null; cloud-init status")
	if !strings.Contains(status, "disabled") {
		t.Errorf("cloud-init ran: %s", status)
	}
	timer := l.sh(t, instance, "systemctl is-enabled dnf-makecache.timer; systemctl is-active dnf-makecache.timer; "+
		"for i in $(seq 600); do [ ! -e /held-ran ] || break; sleep 1; done; ls /held-ran") // due, but not at once
	if want := "enabled\nactive\n/held-ran"; timer != want {
		t.Errorf("the timer is\n%s\nwant\n%s", timer, want)
	}
}

// launchImage starts a machine of an image that is terminated with the test.
func (l *lab) launchImage(t *testing.T, image string, userData []byte) string {
	t.Helper()
	out, err := l.ec2(l.values["AWS_REGION"]).RunInstances(t.Context(), &ec2.RunInstancesInput{
		ImageId: aws.String(image), InstanceType: types.InstanceTypeT3Micro,
		UserData: aws.String(base64.StdEncoding.EncodeToString(userData)),
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
	return id
}
