// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/disk"
)

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
			// The same disk again, as a new instance: its user data runs as at the first boot.
			g = launch(t, "i-second"+suite, image,
				"#cloud-config\nruncmd: [cp /etc/machine-id /root/second-id]\n"+powerOff)
			if exit := g.wait(t); !exit.PoweredOff || exit.Err != nil {
				t.Errorf("second boot: exit %+v", exit)
			}
			if second := onDisk(t, image, "root/second-id"); second != first || len(first) != 33 {
				t.Errorf("machine-id %q, then %q", first, second)
			}
		})
	}
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

func TestStopAndKill(t *testing.T) {
	soon := func(g *guest) error {
		ctx, cancel := context.WithTimeout(context.Background(), bootTimeout)
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
		early   bool // at once; otherwise after user data has run
		end     func(*guest) error
		orderly bool
	}{
		"stopped when it is up":     {false, soon, true},
		"stopped while it starts":   {true, soon, false},
		"stopped with no time left": {false, expired, false},
		"killed when it is up":      {false, kill, false},
		"killed while it starts":    {true, kill, false},
		"killed after it was stopped already": {false, func(g *guest) error { err := soon(g); g.Kill(); return err },
			true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			image := newDisk(t, "bookworm")
			g := launch(t, "i-"+strings.ReplaceAll(name, " ", ""), image,
				"#cloud-config\nruncmd: [echo it is up > /dev/console]\n")
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
			assertNothingLeft(t, g.spec)
			if err := disk.Clone(image, image+".clone"); err != nil {
				t.Error(err)
			}
			if out, err := exec.Command("e2fsck", "-n", image+".clone").CombinedOutput(); err != nil {
				t.Errorf("its disk: %v\n%s", err, out)
			}
		})
	}
}

func TestTwoMachinesAreIsolated(t *testing.T) {
	one := launch(t, "i-one", newDisk(t, "bookworm"), "#cloud-config\nruncmd: [echo one is up > /dev/console]\n")
	two := launch(t, "i-two", newDisk(t, "bookworm"), "#cloud-config\nruncmd: [echo two is up > /dev/console]\n")
	one.see(t, "one is up")
	two.see(t, "two is up")
	one.Kill()
	assertNothingLeft(t, one.spec)
	if got := run(t, two, "systemctl", "is-active", "ssh"); got != "active\n" {
		t.Errorf("ssh of the other machine is %q", got)
	}
	if got := run(t, two, "curl", "-sf", "http://169.254.169.254/latest/meta-data/instance-id"); got != "i-two" {
		t.Errorf("the other machine's metadata: %q", got)
	}
}
