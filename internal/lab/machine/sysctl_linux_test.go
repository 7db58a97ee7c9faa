// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine_test

import (
	"os"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
)

// settingsScript writes each setting its own value, as root who has made /proc/sys writable in two ways, and prints
// which writes the kernel has refused.
const settingsScript = `
mount -o remount,rw,bind /proc/sys || echo cannot remount
mkdir -p /root/proc && mount -t proc proc /root/proc || echo cannot mount
for name in vm/swappiness kernel/panic fs/file-max kernel/core_pattern kernel/printk net/ipv4/ip_forward \
	kernel/hostname; do
	for root in /proc/sys /root/proc/sys; do
		value=$(cat $root/$name)
		if printf '%s\n' "$value" 2>/dev/null >$root/$name; then echo "$name written"; else echo "$name refused"; fi
	done
done
umount /root/proc
mount -o remount,ro,bind /proc/sys
echo settings tried
`

// Root on a machine cannot write the kernel settings of this computer in /proc/sys, however it mounts them; those of
// the machine's own namespaces it can. It holds for what cloud-init runs, and for commands from outside.
func TestMachinesCannotWriteKernelSettings(t *testing.T) {
	if err := machine.SettingsProtected(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	g := launch(t, "i-sysctl", newDisk(t, "bookworm"), "#!/bin/sh\nexec >/dev/console 2>&1\n"+settingsScript)
	g.see(t, "settings tried")
	for from, text := range map[string]string{"cloud-init": g.console.String(),
		"exec": run(t, g, "sh", "-c", settingsScript)} {
		for _, name := range []string{"vm/swappiness", "kernel/panic", "fs/file-max", "kernel/core_pattern",
			"kernel/printk"} {
			if strings.Count(text, name+" refused") != 2 || strings.Contains(text, name+" written") {
				t.Errorf("%s by %s is not refused", name, from)
			}
		}
		for _, name := range []string{"net/ipv4/ip_forward", "kernel/hostname"} {
			if strings.Count(text, name+" written") != 2 {
				t.Errorf("%s by %s is not written", name, from)
			}
		}
		if strings.Contains(text, "cannot ") {
			t.Errorf("by %s, /proc was not mounted anew", from)
		}
		if t.Failed() {
			t.Logf("%s", text)
		}
	}
}
