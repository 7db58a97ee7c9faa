// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// runSteps runs steps as a bake does, each a script, until one fails. It returns the log, and what the bake reports.
func runSteps(t *testing.T, shell string, steps ...string) (log []string, reports []Report) {
	t.Helper()
	var text strings.Builder
	text.WriteString(`mkdir $dir/bake/steps; echo 'exec /bin/sh "$dir/bake/steps/$2"' >$dir/bake/bakery.sh
bakery_is_shutting_down() { return 1; }
`)
	for i, step := range steps {
		n := strconv.Itoa(i + 1)
		text.WriteString("cat >$dir/bake/steps/" + n + " <<'STEP'\n" + step + "\nSTEP\necho script " + n + " s" + n +
			" >>$dir/bake/units\n")
	}
	text.WriteString(`bakery_power_off() { exit 0; }
trap '[ ! -e $dir/pid ] || kill $(cat $dir/pid)' EXIT
bakery_open_log
bakery_n=1
while bakery_read_step $bakery_n; do bakery_next_step; done
`)
	dir, _ := runGuestFunctionsIn(t, shell, t.TempDir(), text.String())
	read := func(name string) string {
		content, err := os.ReadFile(dir + "/bake/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	return strings.Split(strings.TrimSuffix(read("log"), "\n"), "\n"), testReader.Reports([]byte(read("reports")))
}

// Redirections to /dev/stderr work, and shorten nothing. What a step prints is between its begin and its end, although
// a program in its background keeps the output open.
func TestNoStepShortensTheLog(t *testing.T) {
	const shorten = "python3 -c 'import os; os.ftruncate(1, 0)' 2>/dev/null && echo shortened\n"
	const redirect = "echo two >/dev/stderr\necho three | tee /dev/stdout >/dev/stderr\n: >/proc/self/fd/1\n"
	user := ""
	if os.Getuid() == 0 {
		user = "setpriv --reuid 65534 --regid 65534 --clear-groups "
	}
	for _, shell := range shells {
		t.Run(shell, func(t *testing.T) {
			t.Parallel()
			log, reports := runSteps(t, shell,
				"echo one\n"+redirect+shorten+"sleep 600 &\necho $! >$dir/pid; seq 30000",
				user+"sh -c '"+strings.ReplaceAll(redirect, "'", `'\''`)+"'\necho four",
				"echo five; seq 1000 >&2; exit 3", "echo never")
			var numbers []string
			for n := range 30000 {
				numbers = append(numbers, strconv.Itoa(n+1))
			}
			want := slices.Concat([]string{"@bakery-at 1 start 1 s1", "one", "two", "three", "three"}, numbers,
				[]string{"@bakery-at 2 end 1 0 s1", "@bakery-at 3 start 2 s2", "two", "three", "three", "four",
					"@bakery-at 4 end 2 0 s2", "@bakery-at 5 start 3 s3", "five"}, numbers[:1000])
			if diff := cmp.Diff(want, log[:min(len(log), len(want))]); diff != "" {
				t.Errorf("-want +got:\n%s", diff[:min(len(diff), 2000)])
			}
			outcome, _ := Judge(reports)
			if outcome.Code != 3 || outcome.Step != "s3" || len(outcome.Tail) != 40 || outcome.Tail[39] != "1000" {
				t.Errorf("the outcome is %+v", outcome)
			}
		})
	}
}

// A log of cloud-init's that a command of bootcmd has cut, removed or replaced is read from its beginning, also when it
// has become as long again.
func TestLogOfCloudInitThatWasCutIsReadFromItsBeginning(t *testing.T) {
	for name, c := range map[string]struct {
		change string
		want   string // the offset, and "cut" for a warning
	}{
		"nothing":                      {"echo more >>$bakery_log_file", "11 "},
		"nothing at all":               {":", "11 "},
		"truncated":                    {": >$bakery_log_file", "0 cut"},
		"removed":                      {"rm $bakery_log_file", "0 cut"},
		"rotated":                      {"mv $bakery_log_file $dir/1; seq 100 >$bakery_log_file", "0 cut"},
		"truncated, and written again": {"seq 100 >$bakery_log_file", "0 cut"},
	} {
		t.Run(name, func(t *testing.T) {
			_, printed := runGuestFunctions(t, `bakery_log_file=$dir/log; echo 0123456789 >$bakery_log_file
tail -c +1 "$bakery_log_file" | cksum >$dir/size
`+c.change+`
bakery_read_log_size $dir/size; echo "$bakery_size $(grep -o 'something has cut' $bakery_reports | grep -o cut)"
`)
			if got := strings.TrimSuffix(printed, "\n"); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
