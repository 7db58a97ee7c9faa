// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestTheMarkOfTheBakeIsNotTheUsers disables cloud-init as a reboot in a bake does, and enables it at the end.
func TestTheMarkOfTheBakeIsNotTheUsers(t *testing.T) {
	const after = "bakery_disable_cloud_init"
	for name, c := range map[string]struct {
		text string
		want string // "kept", or "removed"
	}{
		"nobody else":                      {after, "removed"},
		"two reboots":                      {after + ";" + after, "removed"},
		"a step before the reboot":         {"touch $dir/off; " + after, "kept"},
		"a step after the reboot":          {after + "; touch $dir/off", "kept"},
		"a step that writes it":            {after + "; echo off >$dir/off", "kept"},
		"a step that copies it":            {after + "; : >$dir/x; cp $dir/x $dir/off", "kept"},
		"fs/, whose files have no time":    {"touch -d @0 $dir/off; " + after, "kept"},
		"no reboot":                        {":", "removed"},
		"a step that writes, no reboot":    {"touch $dir/off", "kept"},
		"a step that removes it, a reboot": {after + "; rm $dir/off; " + after, "removed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, printed := runGuestFunctions(t, "bakery_disabled=$dir/off\n"+c.text+
				"\nbakery_enable_cloud_init\n[ -e $dir/off ] && echo kept || echo removed\n")
			if got := strings.TrimSpace(printed); got != c.want {
				t.Errorf("the file is %s, want %s", got, c.want)
			}
		})
	}
}

// TestCloudInitIsOff finds out whether cloud-init runs in the image.
func TestCloudInitIsOff(t *testing.T) {
	const states = "enabled\\nenabled"
	for name, c := range map[string]struct{ text, want string }{
		"on":                      {"", ""},
		"on, without a generator": {"rm $dir/generator", ""},
		"a file":                  {"touch $dir/off", "$dir/off"},
		"a masked unit":           {"now='enabled\\nmasked'", "its units are"},
		"a disabled unit":         {"now='disabled\\nenabled'", "its units are"},
		"a unit more":             {"now='enabled\\nenabled\\nenabled'", ""},
		"a unit that was disabled in the base image": {"before='enabled\\ndisabled' now='enabled\\ndisabled'", ""},
		"the generator's decision":                   {"enable=false", "no data source"},
		"removed": {"cloud_init() { return 1; }; rm $dir/generator",
			"it is removed"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, printed := generated(t, `before='`+states+`' now='`+states+`' enable=true
cloud_init() { :; }; command() { cloud_init; }
bakery_disabled=$dir/off
printf '#!/bin/sh\n. $dir/enable\n$enable || exit 0\nmkdir $2/multi-user.target.wants\n'\
'ln -s x $2/multi-user.target.wants/cloud-init.target\n' >$dir/generator
chmod 755 $dir/generator
export enable dir
`+c.text+`
echo "enable=$enable" >$dir/enable
printf "$before\n" >$dir/bake/states
bakery_unit_states() { printf "$now\n"; }
bakery_find_cloud_init
echo "$bakery_off"
`)
			if got := strings.ReplaceAll(strings.TrimSpace(printed), dir, "$dir"); got != c.want {
				t.Errorf("it is off by %q, want %q", got, c.want)
			}
		})
	}
}

// generated is rooted for bakery_find_cloud_init, with $dir/generator as cloud-init's generator.
func generated(t *testing.T, text string) (dir, printed string) {
	t.Helper()
	original := programSource
	defer func() { programSource = original }()
	programSource = []byte(strings.NewReplacer(
		"/usr/lib/systemd/system-generators/cloud-init-generator", "$dir/generator", "/boot/", "$dir/boot/",
		"/run/cloud-init/", "$dir/run/cloud-init/").Replace(string(programSource)))
	return runGuestFunctions(t, text)
}

// The kernel command lines of the next boot, as the distributions' boot loaders have them.
func TestCloudInitIsOffByTheKernelCommandLine(t *testing.T) {
	for file, want := range map[string]bool{
		"grub/grub.cfg": true, "grub2/grubenv": true, "loader/entries/a.conf": true, "efi/EFI/rocky/grub.cfg": true,
		"extlinux/extlinux.conf": true, "grub/other": false,
	} {
		_, printed := generated(t, `command() { :; }; bakery_unit_states() { :; }; : >$dir/bake/states
bakery_disabled=$dir/off; mkdir -p $dir/boot/`+filepath.Dir(file)+`
echo 'linux /vmlinuz root=/dev/xvda1 ro cloud-init=disabled quiet' >$dir/boot/`+file+`
bakery_find_cloud_init; echo "$bakery_off"`)
		if got := strings.TrimSpace(printed) == "the kernel command line"; got != want {
			t.Errorf("%s: it is off by %q", file, printed)
		}
	}
}

// TestAPowerOff ends a bake whose machine is being powered off by a step, or by somebody else.
func TestAPowerOff(t *testing.T) {
	const own, other = "this step powered the machine off: ",
		"the machine was powered off while this step was running: "
	for text, want := range map[string]string{
		"make install\nshutdown -h now": own, "poweroff": own, "telinit 0": own, "systemctl --no-block poweroff": own,
		"python3 -c 'import os; os.system(\"halt -p\")'": own, "init 0": own,
		"sleep 60": other, "echo poweroff": other, "systemctl reboot": other, "# shutdown": other,
	} {
		program, err := filepath.Abs("program/asked_reboot.py")
		if err != nil {
			t.Fatal(err)
		}
		_, printed := runGuestFunctions(t, `systemctl() { :; }; sync() { :; }; bakery_python() { echo python3; }
bakery_power_off() { exit 0; }
mkdir $dir/bake/steps; echo 'script 001 a.cfg' >$dir/bake/units; cp `+program+` $dir/bake/asked_reboot.py
cat >$dir/bake/steps/001 <<'TEXT'
`+text+`
TEXT
echo start 1 >$dir/bake/progress
trap 'cat $dir/bake/reports' EXIT
bakery_on_term
`)
		outcome, _ := Judge(testReader.Reports([]byte(printed)))
		if outcome.Code != 143 || outcome.Step != "a.cfg" || !strings.HasPrefix(outcome.Reason, want) ||
			!strings.HasSuffix(outcome.Reason, `Remove the shutdown, or set verdict = "stop"`) {
			t.Errorf("%q: the outcome is %+v, want %q", text, outcome, want)
		}
	}
}

// TestUpdatesAreWaitedFor checks that steps begin when what was already installing packages has ended.
func TestUpdatesAreWaitedFor(t *testing.T) {
	_, printed := runGuestFunctions(t, `i=0
systemctl() { read -r i <$dir/i; echo $((i + 1)) >$dir/i
[ "$i" -ge 2 ] || echo 'apt-daily-upgrade.service loaded activating'; }
sleep() { :; }
echo 0 >$dir/i
bakery_wait_for_updates; cat $dir/i $dir/bake/reports`)
	if !strings.HasPrefix(printed, "3\n") ||
		strings.Count(printed, "waiting for apt-daily-upgrade.service, which was already running") != 1 {
		t.Errorf("it printed\n%s", printed)
	}
	_, printed = runGuestFunctions(t, `systemctl() { echo 'dnf-automatic.service loaded activating'; }
bakery_power_off() { exit 0; }; sleep() { touch "$bakery_run/timeout"; }; BAKERY_TIMEOUT=60
trap 'cat $dir/bake/reports' EXIT
bakery_wait_for_updates`)
	if outcome, _ := Judge(testReader.Reports([]byte(printed))); outcome.Code != 124 ||
		outcome.Step != "dnf-automatic.service" || outcome.Reason != "it did not end within 60 s" {
		t.Errorf("the outcome is %+v", outcome)
	}
}

// TestASignalWithoutAShutdown sends TERM, as systemd does at a shutdown, while the machine goes on.
func TestASignalWithoutAShutdown(t *testing.T) {
	for state, want := range map[string]string{
		"running": "on", "degraded": "on", "starting": "on", "initializing": "on", "maintenance": "on",
		"stopping": "off", "offline": "off", "": "off",
	} {
		_, printed := runGuestFunctions(t, `systemctl() { case $* in is-system-running) echo '`+state+`' ;; esac; }
sync() { :; }; bakery_python() { echo false; }
bakery_power_off() { [ "$bakery_leave" = exit ] && echo off || echo on; exit 0; }
echo 'script 001 a.cfg' >$dir/bake/units; echo start 1 >$dir/bake/progress
trap 'cat $dir/bake/reports' EXIT
bakery_on_term
`)
		outcome, _ := Judge(testReader.Reports([]byte(printed)))
		if got, _, _ := strings.Cut(printed, "\n"); got != want || outcome.Code != 143 ||
			strings.Contains(outcome.Reason, "a SIGTERM ended the bake without a shutdown") != (want == "on") {
			t.Errorf("%q: the machine is %s: %+v", state, got, outcome)
		}
	}
}

// TestTheWatchdogCutsThePower ends a bake that has begun to power the machine off, and one whose time is up.
func TestTheWatchdogCutsThePower(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"a power-off that hangs": {"touch $dir/run/off; BAKERY_TIMEOUT=9999", "sleep 120\n--force --force poweroff\n"},
		"a power-off that begins later": {"BAKERY_TIMEOUT=9999",
			"sleep 5\nsleep 120\n--force --force poweroff\n"},
		"the same time when it is started again": {"echo 0 >$dir/run/end; BAKERY_TIMEOUT=9999",
			"124\nsleep 120\n--force --force poweroff\n"},
		"what boots have taken": {"printf 'elapsed %d\\n' 60 40 >>$dir/bake/progress; BAKERY_TIMEOUT=100",
			"124\nsleep 120\n--force --force poweroff\n"},
	} {
		t.Run(name, func(t *testing.T) {
			_, printed := runGuestFunctions(t, `echo boot >$dir/bake/progress
`+c.text+`
systemctl() { echo "$*"; }; bakery_load_env() { :; }; bakery_hold_updates() { :; }; bakery_start_streaming() { :; }
sleep() { echo "sleep $1"; touch $dir/run/off; }
bakery_fail() { echo "$1"; exit 0; }; echo 999999999 >$dir/run/pid
bakery_watchdog 2>/dev/null
`)
			if printed != c.want {
				t.Errorf("it did %q, want %q", printed, c.want)
			}
		})
	}
}

// TestTheWatchdogOutlivesAShutdown, and a signal that somebody sends to it.
func TestTheWatchdogOutlivesAShutdown(t *testing.T) {
	_, unit := runGuestFunctions(t, "bakery_service_file watchdog ''")
	if strings.Contains(unit, "shutdown.target") || !strings.Contains(unit, "DefaultDependencies=no\n") ||
		!strings.Contains(unit, "Restart=always\n") {
		t.Errorf("the service of the watchdog is\n%s", unit)
	}
}

// TestALateRebootOfAStepIsWaitedForUntilTheTimeIsUp: the last step has scheduled it, and has ended.
func TestALateRebootOfAStepIsWaitedForUntilTheTimeIsUp(t *testing.T) {
	_, printed := runGuestFunctions(t, `bakery_is_shutting_down() { :; }
sleep() { touch $dir/run/timeout; }; bakery_run_step() { :; }; bakery_power_off() { exit 0; }
bakery_vmstat=/dev/null BAKERY_TIMEOUT=60
echo 'script 001 a.cfg' >$dir/bake/units; touch $dir/bake/progress
trap 'cat $dir/bake/reports' EXIT
bakery_n=1; bakery_read_step 1; bakery_next_step
`)
	outcome, _ := Judge(testReader.Reports([]byte(printed)))
	if outcome.Code != 124 || outcome.Step != "a.cfg" ||
		outcome.Reason != "it was stopped: the machine's time, 60 s, was up" {
		t.Errorf("the outcome is %+v", outcome)
	}
}
