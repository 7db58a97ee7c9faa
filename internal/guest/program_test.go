// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// runGuestFunctions calls functions of the guest program in a shell on this computer, and returns what they print. The
// directories of the bake, $dir/bake and $dir/run, exist, and reports go to $dir/console. The text defines the rest.
func runGuestFunctions(t *testing.T, text string) (dir, printed string) {
	t.Helper()
	dir = t.TempDir()
	functions, _, ok := bytes.Cut(programSource, []byte("\ncase ${1:-} in\n"))
	if !ok {
		t.Fatal("the guest program does not end as it did")
	}
	for _, d := range []string{"bake", "run"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	const places = "\nbakery_dir=$dir/bake bakery_run=$dir/run bakery_console=$dir/console " +
		"bakery_output=$dir/output\n" +
		"BAKERY_ID=" + testID + "; echo $BAKERY_ID >$dir/run/id; touch $dir/bake/log $dir/console $dir/output\n"
	cmd := exec.CommandContext(t.Context(), "dash")
	cmd.Stdin = strings.NewReader(string(functions) + places + text)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "dir=" + dir}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir, string(out)
}

// uploadedVerdicts runs text, which ends a bake, with functions replaced that would change this computer. It returns
// the words of the verdicts in the uploaded logs, and of the files of the bake that existed at the time.
func uploadedVerdicts(t *testing.T, text string) []string {
	t.Helper()
	_, printed := runGuestFunctions(
		t,
		`BAKERY_LOG_URL=x
bakery_stop_streaming() { :; }; bakery_clean() { :; }; bakery_is_clean() { :; }; systemctl() { :; }
bakery_put() { gzip -dc <"$2" | grep -o 'verdict .*'; echo "$(ls "$dir/bake")"; }
bakery_power_off() { exit 0; }
BAKERY_ZERO=''
rm() { case $* in *systemd*) ;; *) command rm "$@" ;; esac; }
echo 'what a step printed' >>$dir/bake/log
`+text,
	)
	return strings.Fields(printed)
}

func TestTheVerdictIsUploadedAfterTheCleanUp(t *testing.T) {
	if got := strings.Join(uploadedVerdicts(t, "bakery_finish"), " "); got != "verdict ok 0 bake" {
		t.Errorf("uploaded %q, while files of the bake still existed", got)
	}
	got := strings.Join(uploadedVerdicts(t, "bakery_wipe() { :; }; bakery_finish"), " ")
	if !strings.HasPrefix(got, "verdict fail 1 clean-up") || strings.Contains(got, "ok") {
		t.Errorf("uploaded %q when files of the bake cannot be removed", got)
	}
}

func TestTheUploadedLogIsComplete(t *testing.T) {
	_, printed := runGuestFunctions(t, `BAKERY_LOG_URL=x
bakery_put() { gzip -dc <"$2"; }
bakery_power_off() { exit 0; }
echo early >>$dir/output; echo late >>$dir/bake/log
bakery_fail 3 a.cfg why $dir/bake/log 0
`)
	lines, reports, err := ReadLog(strings.NewReader(printed), testID)
	if err != nil {
		t.Fatal(err)
	}
	outcome, _ := Judge(reports)
	if outcome.Code != 3 || outcome.Step != "a.cfg" || outcome.Reason != "why" {
		t.Errorf("the outcome is %+v:\n%s", outcome, printed)
	}
	if got := text(lines, FromCloudInit); len(got) != 1 || got[0] != "early" {
		t.Errorf("cloud-init printed %q", got)
	}
	if got := text(
		lines,
		FromSteps,
	); len(got) == 0 || got[0] != "late" ||
		strings.Count(printed, " verdict fail 3") != 1 {
		t.Errorf("the steps printed %q", got)
	}
}

func TestAnOutOfMemoryKillDoesNotStopTheServices(t *testing.T) {
	for _, service := range []string{"run", "watchdog"} {
		if _, unit := runGuestFunctions(
			t,
			"bakery_service_file "+service+" ''",
		); !strings.Contains(
			unit,
			"\nOOMPolicy=continue\n",
		) {
			t.Errorf("systemd stops the service %s when the kernel kills one of its processes:\n%s", service, unit)
		}
	}
}
