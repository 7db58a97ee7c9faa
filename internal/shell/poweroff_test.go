// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package shell

import "testing"

func TestPowersOff(t *testing.T) {
	for script, want := range map[string]int{ // the line, 0 for none
		"#!/bin/sh\necho done\nshutdown -h now\n": 3, "poweroff": 1, "a\n/sbin/poweroff -f": 2, "halt -p": 1,
		"sudo -n shutdown -P +1": 1, "init 0": 1, "telinit 0": 1, "exec systemctl --no-block poweroff": 1,
		"sync && systemctl isolate poweroff.target": 1, "shutdown now || true": 1, "a\nshutdown -h now &\nexit 0\n": 2,
		"systemctl start halt.target # now": 1, "'shutdown' \"-h\" now": 1,

		"shutdown -r now": 0, "shutdown -rf now": 0, "shutdown -c": 0, "reboot": 0, "init 6": 0, "echo poweroff": 0,
		"if true; then poweroff; fi": 0, "poweroff\necho more": 0, "x || poweroff": 0, "f() { poweroff; }": 0,
		"systemctl mask poweroff.target": 0, "poweroff --help": 0, "": 0, "exit": 0, "systemctl reboot": 0,
		"\"$off\"": 0, "if": 0, "# poweroff": 0,
	} {
		if line, _, ok := PowersOff([]byte(script), "sh"); line != want || ok != (want > 0) {
			t.Errorf("%q powers off in line %d, %v, want %d", script, line, ok, want)
		}
	}
	if _, _, ok := PowersOff([]byte("poweroff\n"), "python3"); ok {
		t.Error("python is looked at")
	}
}
