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
	return runGuestFunctionsIn(t, "dash", t.TempDir(), text)
}

// runGuestFunctionsIn is runGuestFunctions with a shell and a directory.
func runGuestFunctionsIn(t *testing.T, shell, dir, text string) (_, printed string) {
	t.Helper()
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
		"bakery_reports=$bakery_dir/reports; touch $dir/bake/log $dir/bake/reports $dir/console $dir/output\n"
	cmd := exec.CommandContext(t.Context(), shell)
	launch := Launch{Reader: testReader}.assignments()
	for name, content := range map[string]string{
		"launch": launch, "secret": testWriter.Secret, "commitment": Commitment(testWriter.Secret),
	} {
		if err := os.WriteFile(filepath.Join(dir, "bake", name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Stdin = strings.NewReader(string(functions) + places + launch + text)
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
rm() { case $* in *systemd*) ;; *) command rm "$@" ;; esac; }; unshare() { :; }
echo 'what a step printed' >>$dir/bake/log
`+text,
	)
	return strings.Fields(printed)
}

func TestTheVerdictIsUploadedAfterTheCleanUp(t *testing.T) {
	if got := strings.Join(uploadedVerdicts(t, "bakery_finish"), " "); got != success {
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
	lines, reports, err := ReadLog(t.Context(), strings.NewReader(printed), testReader)
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

// TestAReboot decides what becomes of a step when the machine reboots.
func TestAReboot(t *testing.T) {
	const cut = "cut 143 the machine rebooted"
	for name, c := range map[string]struct {
		units, text string // the list of steps, and the text of step 1
		state       string // defines what has happened
		want        string // the beginning of the last line of the progress
	}{
		"a step that runs": {"script 001 a", "sleep 60", "run sleep 60", cut},
		"a step that asks": {"script 001 a", "sleep 60; reboot", "run sleep 60", "reboot 1"},
		"a step that asks by a script": {"script 001 a", "x",
			"echo reboot >$dir/x; run sh -c '. $dir/x; sleep 60' $dir/x", "reboot 1"},
		"a step whose end is recorded": {"script 001 a", "x",
			"echo end 1 >>$dir/bake/progress; run sleep 60", "reboot 1"},
		"a step that has ended":             {"script 001 a", "x", "run true; ended", "reboot 1"},
		"a step whose status was just read": {"script 001 a", "x", "run true; wait $bakery_pid; x=$(true)", "reboot 1"},
		"a step that has failed": {"script 001 a", "x", "run sh -c 'exit 9'; ended",
			"cut 9 it failed"},
		"a failed step that asks": {"script 001 a", "reboot", "run sh -c 'exit 9'; ended",
			"cut 9 it failed"},
		"a step whose end is about to be recorded": {"script 001 a", "x", "bakery_code=0", "reboot 1"},
		"a step that has not begun":                {"script 001 a", "reboot", "bakery_code=''", cut},
		"no step yet": {"script 001 a", "x", "sed -i /start/d $dir/bake/progress",
			"reboot 0"},
		"an operation that runs": {"replay 001 a", "x",
			"op 2 1 'bakery_command sleep'; run sleep 60", cut},
		"an operation that asks": {"replay 001 a", "x",
			"op 2 1 'bakery_command \"sudo reboot\"'; run sleep 60", "reboot 1"},
		"an operation that has ended": {"replay 001 a", "x", "op 2 2 x; run sleep 60", "reboot 1"},
		"an upload": {"replay 001 a", "x",
			"op 1 '' 'bakery_upload a b c'; run sleep 60", cut},
		"a pause": {"replay 001 a", "x", "op 3 2 'bakery_pause 60'; run sleep 60",
			"reboot 1"},
		"no operation yet": {"replay 001 a", "x",
			"mkdir -p $dir/bake/replay/001; run sleep 60", "reboot 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // a step that asks has five seconds
			program, err := filepath.Abs("program/asked_reboot.py")
			if err != nil {
				t.Fatal(err)
			}
			_, printed := runGuestFunctions(t, "units='"+c.units+"' text='"+c.text+"' program="+program+`
systemctl() { echo 7 reboot.target start waiting; }
bakery_disable_cloud_init() { :; }; sync() { :; }; bakery_python() { echo python3; }
run() { setsid "$@" & bakery_pid=$!; while is=$(tr '\0' ' ' <"/proc/$bakery_pid/cmdline") && [ -n "$is" ] &&
[ "$is" != "$* " ]; do sleep 0.1; done 2>/dev/null; }
ended() { until [ ! -e "/proc/$bakery_pid" ] || grep -q '^State:.Z' "/proc/$bakery_pid/status"; do sleep 0.1; done; }
op() { mkdir -p $dir/bake/replay/001; echo "$1" >$dir/bake/replay/001/at
[ -z "$2" ] || echo "$2" >$dir/bake/replay/001/ended
echo "$3" >$dir/bake/replay/001/$1; }
mkdir $dir/bake/steps; echo "$units" >$dir/bake/units; echo "$text" >$dir/bake/steps/001
echo start 1 >$dir/bake/progress; cp "$program" $dir/bake/asked_reboot.py
bakery_started=$(date +%s) bakery_pid='' bakery_code=''
`+c.state+`
on_exit() { tail -n 1 $dir/bake/progress; }
trap on_exit EXIT
bakery_on_term
`)
			lines := strings.Split(strings.TrimSpace(printed), "\n")
			if got := lines[len(lines)-1]; !strings.HasPrefix(got, c.want) {
				t.Errorf("recorded %q, want %q:\n%s", got, c.want, printed)
			}
		})
	}
}

func TestLogOfTheStepsIsOfRootOnly(t *testing.T) {
	_, printed := runGuestFunctions(t, `rm "$bakery_dir/log"; : >"$bakery_dir/env"; umask 022; bakery_load_env
ls -l "$bakery_dir/log" "$bakery_dir/progress"`)
	for line := range strings.Lines(printed) {
		if strings.HasSuffix(strings.TrimSpace(line), "/log") && !strings.HasPrefix(line, "-rw-------") {
			t.Errorf("others can read it: %s", line)
		}
	}
}

// skip skips a test that cannot run here, and says why. On CI, nothing skips.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// TestUploadsAreNotWrittenIntoFilesOfOthers uploads into a directory such as /tmp, where another user has made a file
// or a link of the name before.
func TestUploadsAreNotWrittenIntoFilesOfOthers(t *testing.T) {
	if os.Getuid() != 0 {
		skip(t, "another user's file needs root: run the tests as root")
	}
	const text = `bakery_home=/ BAKERY_USER=root bakery_umask=022 bakery_shell=/bin/sh bakery_ops=x/1 bakery_op=y/1
mkdir -p "$bakery_dir/replay/blob" "$dir/tmp" && chmod 1777 "$dir/tmp" && chmod 755 "$dir"
echo content >"$bakery_dir/replay/blob/sum"
bakery_keep_link() { :; }
case_of() { bakery_upload sum 0755 "$dir/tmp/$1" 2>&1 && echo "$1 is written" || echo "$1 is refused"; }
touch "$dir/tmp/own" "$dir/tmp/others" && chown nobody "$dir/tmp/others" && ln -s /nowhere "$dir/tmp/link"
case_of new; case_of own; case_of others; case_of link
mkdir "$dir/tmp/theirs" && chown nobody "$dir/tmp/theirs"; case_of theirs/new
printf 'd 0755 ./\nf 0755 sum ./script\n' >"$bakery_dir/replay/blob/list"
(bakery_updir "$dir/tmp/theirs" '' list) 2>&1 || echo "their directory is refused"
(bakery_updir "$dir/tmp/ours" app list) && [ -s "$dir/tmp/ours/script" ] && echo "our directory is written"
plain=$(mktemp -d /var/cache/bakery-test.XXXXXX) && touch "$plain/others" && chown nobody "$plain/others"
bakery_upload sum 0755 "$plain/others" && echo "plain is written"
rm -rf "$plain"
`
	_, printed := runGuestFunctions(t, text)
	for _, want := range []string{"new is written", "own is written", "others is refused", "link is refused",
		"theirs/new is refused", "their directory is refused", "our directory is written", "plain is written"} {
		if !strings.Contains(printed, want) {
			t.Errorf("not %q:\n%s", want, printed)
		}
	}
}

// TestWipeFollowsNothing runs wipe.py where a user has put links, pipes and huge files, and swaps a directory for a
// link again and again.
func TestWipeFollowsNothing(t *testing.T) {
	dir := t.TempDir()
	program, err := filepath.Abs("program/wipe.py")
	if err != nil {
		t.Fatal(err)
	}
	script := `cd "$1" && mkdir -p important tmp/a/d tmp/big home/.x_history/deep && echo policy >important/policy
echo secret >tmp/file; echo secret >tmp/a/d/policy; ln -s "$1/important" tmp/link; ln "$1/important/policy" tmp/hard
mkfifo tmp/pipe home/.y_history; truncate -s 4T tmp/big/sparse; ln -s "$1/important/policy" home/.z_history
mkdir "tmp/$(printf 'odd\nname')"; d=tmp/deep; for i in $(seq 300); do d=$d/dddddddddddddddd; done; mkdir -p "$d"
swap() { mv tmp/a/d tmp/a/e && ln -s "$1/important" tmp/a/d; rm tmp/a/d; mv tmp/a/e tmp/a/d; }
(while [ -d tmp/a ]; do swap "$1"; done) >/dev/null 2>&1 &
timeout 60 python3 "$2" "$1/tmp/" "$1"/home/.*_history
find home -mindepth 1 -empty -type d -delete # what stays are directories
kill $! 2>/dev/null; echo "left: $(ls -A tmp home)"; cat important/policy`
	out, err := exec.CommandContext(t.Context(), "sh", "-c", script, "sh", dir, program).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := string(out); !strings.HasSuffix(got, "policy\n") || strings.Contains(got, "_history") ||
		strings.Contains(got, "file") || strings.Contains(got, "sparse") || strings.Contains(got, "hard") {
		t.Errorf("it printed\n%s", got)
	}
}
