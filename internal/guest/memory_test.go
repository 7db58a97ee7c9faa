// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"strings"
	"testing"
)

// TestWhatTheKernelKillsForMemoryIsNamed makes a step fail after the kernel has killed something, or has not.
func TestWhatTheKernelKillsForMemoryIsNamed(t *testing.T) {
	const memory, other = "for lack of memory: the machine has ", "its cgroup"
	const global = "[ 9.1] Out of memory: Killed process 812 (dnf) total-vm:900kB, anon-rss:400kB, UID:0"
	for name, c := range map[string]struct {
		before, after string // /proc/vmstat
		dmesg         string
		want, not     string // in the reason of the failure
	}{
		"a kill": {"oom_kill 2", "oom_kill 3", global, "the kernel killed dnf " + memory, other},
		"a kill of an older kernel": {"oom_kill 0", "oom_kill 1",
			"[1] Out of memory: Kill process 7 (yum) score 9 or sacrifice child\n" +
				"[1] Killed process 7, UID 0, (yum) total-vm",
			"the kernel killed yum " + memory, other},
		"the last of several kills": {"oom_kill 0", "oom_kill 2", "[1] Killed process 7 (first)\n" + global,
			"the kernel killed dnf", "first"},
		"a kill by the limit of a cgroup": {"oom_kill 0", "oom_kill 1",
			"[9.1] Memory cgroup out of memory: Killed process 99 (java) total-vm:1kB",
			"killed java for lack of memory, which its cgroup limits", memory},
		"a kill without a kernel log": {"oom_kill 0", "oom_kill 1", "", "the kernel killed a process " + memory,
			other},
		"no kill":                      {"oom_kill 3", "oom_kill 3", global, "", "the kernel"},
		"a kernel that does not count": {"pgfault 3", "pgfault 4", global, "", "the kernel"},
	} {
		for _, own := range []string{"", "what the step said"} {
			t.Run(name+" "+own, func(t *testing.T) {
				dir, printed := runGuestFunctions(t, `bakery_vmstat=$dir/vmstat
dmesg() { printf '%s\n' '`+c.dmesg+`'; }
bakery_power_off() { exit 0; }; bakery_put() { :; }
echo 'nr_free 1
`+c.before+`' >$dir/vmstat
bakery_find_kills
echo "$bakery_killed"
echo '`+c.after+`' >$dir/vmstat
trap 'cat $dir/bake/reports' EXIT
bakery_fail 137 a.cfg '`+own+`' $dir/bake/log 0
`)
				outcome, _ := Judge(testReader.Reports([]byte(printed)))
				reason := outcome.Reason
				if outcome.Code != 137 || !strings.Contains(reason, c.want) || !strings.HasPrefix(reason, own) ||
					strings.Contains(reason, c.not) || strings.Contains(c.want, memory) && !outcome.IsOutOfMemory() {
					t.Errorf("in %s, the outcome is %+v, want %q and not %q", dir, outcome, c.want, c.not)
				}
			})
		}
	}
}

// TestAKillThatFailsNothingIsAWarning ends a step in which the kernel has killed something.
func TestAKillThatFailsNothingIsAWarning(t *testing.T) {
	_, printed := runGuestFunctions(t, `bakery_vmstat=$dir/vmstat; bakery_is_shutting_down() { return 1; }
dmesg() { echo 'Killed process 9 (mysqld) x'; }
echo 'oom_kill 0' >$dir/vmstat; bakery_find_kills
bakery_name=a.cfg; bakery_end_step 1
echo 'oom_kill 1' >$dir/vmstat; bakery_end_step 2
bakery_end_step 3
cat $dir/bake/reports
`)
	var kinds []string
	for _, r := range testReader.Reports([]byte(printed)) {
		kinds = append(kinds, string(r.Kind)+" "+r.Text)
	}
	const want = "while this step ran, the kernel killed mysqld for lack"
	if got := strings.Join(kinds, "\n"); strings.Count(got, want) != 1 || len(kinds) != 4 {
		t.Errorf("the reports are\n%s", got)
	}
}
