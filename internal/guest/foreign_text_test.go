// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestNoTextIsPrintedWithEcho checks all programs for an echo of something that is only known when it runs: dash's echo
// reads \n and \c in it.
func TestNoTextIsPrintedWithEcho(t *testing.T) {
	live, err := os.ReadFile("live.go")
	if err != nil {
		t.Fatal(err)
	}
	bootcmd, err := os.ReadFile("../cloudconfig/bootcmd.go")
	if err != nil {
		t.Fatal(err)
	}
	echo := regexp.MustCompile(`\becho\b[^|;&)>\n]*(\$|%s)`)
	for name, text := range map[string][]byte{
		"bakery.sh and report.sh": programSource, "live.sh": liveSource, "fetch.sh": fetchSource,
		"runcmd.py":                  runcmdSource,
		"the head of a live payload": bytes.ReplaceAll(live, []byte(`echo "$1" >&2`), nil), // it has only our own texts
		"bootcmd.go":                 bootcmd,
	} {
		for _, harmless := range []string{"echo bakery-lacks=$c", "echo bakery-uid=$(id -u)"} {
			text = bytes.ReplaceAll(text, []byte(harmless), nil)
		}
		for line := range strings.Lines(string(text)) {
			if echo.MatchString(line) && !strings.HasPrefix(strings.TrimSpace(line), "#") {
				t.Errorf("%s: use printf '%%s\\n' in\n%s", name, line)
			}
		}
	}
}

// TestForeignTextIsReportedWhole reports what has backslashes and percent signs, in dash, and reads it from the reports
// and from the files that later reports come from.
func TestForeignTextIsReportedWhole(t *testing.T) {
	const foreign = `ProcessExecutionError: C:\new\table \c %s 100%d \0101 \\`
	for name, text := range map[string]string{
		"a report": `bakery_report reason "$foreign"`,
		"a finding": `printf '%s\n' parts 1 a "$foreign" >$dir/bake/findings
bakery_read_findings; bakery_report reason "$bakery_reason"`,
		"a step's failure": `echo 'script 001 a' >$dir/bake/units; echo start 1 >$dir/bake/progress
bakery_power_off() { exit 0; }; trap 'cat $dir/bake/reports' EXIT; bakery_fail_step 1 "$foreign"`,
		"an interrupted step": `bakery_record "cut 143 $foreign"; bakery_last=$(tail -n 1 $dir/bake/progress)
bakery_report reason "${bakery_last#cut 143 }"`,
	} {
		t.Run(name, func(t *testing.T) {
			_, printed := runGuestFunctions(t, "foreign='"+foreign+"'\n"+text+"\ncat $dir/bake/reports\n")
			reports := testReader.Reports([]byte(printed))
			found := false
			for _, r := range reports {
				found = found || r.Kind == Reason && r.Text == foreign
			}
			if !found {
				t.Errorf("the reports are %+v, want %q:\n%s", reports, foreign, printed)
			}
		})
	}
}

// TestBoothooksAreBoothooksForEveryVersion checks what cloud-init 20.2 needs: without the first line, whatever its MIME
// type, it takes a boothook for a script, and runs it last.
func TestBoothooksAreBoothooksForEveryVersion(t *testing.T) {
	document, err := Document(fullProgram)
	if err != nil {
		t.Fatal(err)
	}
	delivered, err := Deliver(document, testLaunch, Delivery{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	fetched, err := Fetch(testLaunch, Fetched{URL: "https://b/k", SHA256: strings.Repeat("ab", 32), Limit: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if fetched, err = Decompress(fetched); err != nil {
		t.Fatal(err)
	}
	hooks := 0
	for _, userData := range [][]byte{document, delivered, fetched} {
		for _, part := range read(t, userData) {
			if part[0] != typeBoothook {
				continue
			}
			if hooks++; !strings.HasPrefix(part[2], "#cloud-boothook\n#!") {
				t.Errorf("%s begins with %.40q", part[1], part[2])
			}
		}
	}
	if hooks != 4 {
		t.Errorf("there are %d boothooks", hooks)
	}
}
