// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

const logsTemplate = "testdata/logs.pkr.hcl"

// printedLines collects the lines of an output, and calls a function for each.
type printedLines struct {
	onLine func(text string) // may be nil

	mu    sync.Mutex
	rest  []byte
	lines []string
}

func (p *printedLines) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rest = append(p.rest, b...)
	for {
		i := bytes.IndexByte(p.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		line := string(p.rest[:i])
		p.lines, p.rest = append(p.lines, line), p.rest[i+1:]
		if p.onLine != nil {
			p.onLine(line)
		}
	}
}

func (p *printedLines) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n") + "\n"
}

// buildWithLogs runs packer build with the template of these tests. It returns the exit status.
func (l *lab) buildWithLogs(t *testing.T, out *printedLines, dir string, vars ...string) int {
	t.Helper()
	machineSlots.acquire(t)
	argv := []string{packertest.Built(t).Packer, "build"}
	for _, v := range vars {
		argv = append(argv, "-var", v)
	}
	code := packertest.Stream(t, out, dir, l.environ(t), append(argv, absolute(t, logsTemplate))...)
	l.bakes.add(t.Name(), out.String())
	return code
}

// forEachLogMode runs a test in both modes of live_log on each guest.
func forEachLogMode(t *testing.T, l *lab, test func(t *testing.T, mode string, vars []string)) {
	t.Helper()
	t.Run("each", func(t *testing.T) {
		for suite := range strings.SplitSeq(*guests, ",") {
			for _, mode := range []string{"console", "s3"} {
				t.Run(suite+" "+mode, func(t *testing.T) {
					t.Parallel()
					test(t, mode, []string{
						"name=" + testName(t), "staging=" + strconv.FormatBool(mode == "s3"),
						"source_ami=" + l.values["BAKERY_LAB_AMI_"+strings.ToUpper(suite)],
					})
				})
			}
		}
	})
}

const (
	// of lines; after each, the machine waits until packer has printed it
	logGroups    = 4
	linesByGroup = 5
	logSecret    = "hunter2-of-the-test"
)

// TestLogsComeWhileTheMachineWorks checks that packer prints what a step prints while the step runs, each line once and
// in order. The machine goes on only when packer has printed what there is, however long that takes.
func TestLogsComeWhileTheMachineWorks(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	step := fmt.Sprintf("for g in $(seq %d); do for i in $(seq %d); do echo \"line $(((g - 1) * %d + i)) $(date "+
		"+%%s.%%N)\"; "+
		"done; until [ -e /run/group-$g ]; do sleep 0.1; done; done", logGroups, linesByGroup, linesByGroup)
	source := write(t, map[string]string{
		"cloudinit/10_early.cfg": "#cloud-config\nbootcmd:\n- echo printed early\n- truncate -s 0 " +
			"/var/log/cloud-init.log\n",
		"cloudinit/60_lines.cfg": "#cloud-config\nruncmd:\n- |\n  " + step + "\n" +
			"- [printf, '\\033[31mred\\033[0m %s\\r\\n', '" + logSecret + "']\n- echo redirected >/dev/stderr\n",
	})
	forEachLogMode(t, l, func(t *testing.T, mode string, vars []string) {
		dir := t.TempDir()
		file := filepath.Join(dir, "machine.log")
		seen := &liveLines{t: t, lab: l}
		out := &printedLines{onLine: seen.read}
		code := l.buildWithLogs(t, out, dir, append(vars, "source="+source, "log_file="+file, "secret="+logSecret)...)
		t.Logf("exit status %d; packer printed lines after %s at most\n%s", code, seen.latest, out)
		if code != 0 {
			t.Fatal("the bake failed")
		}
		if seen.count != logGroups*linesByGroup {
			t.Errorf("packer printed %d lines of %d", seen.count, logGroups*linesByGroup)
		}
		for _, want := range []string{"cloud-init| printed early", "2| red <sensitive>", "3| redirected",
			"warning: something has cut /var/log/cloud-init.log"} {
			if strings.Count(out.String(), want) != 1 {
				t.Errorf("packer did not print %q once", want)
			}
		}
		checkLogFile(t, file, out.String())
	})
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// checkLogFile checks what log_file has, and that neither it nor packer shows the secret.
func checkLogFile(t *testing.T, file, printed string) {
	t.Helper()
	saved := mustRead(t, file)
	for _, want := range []string{
		"printed early", "line 1 ", fmt.Sprintf("line %d ", logGroups*linesByGroup), "verdict", "red <sensitive>",
	} {
		if !strings.Contains(saved, want) {
			t.Errorf("%q is not in log_file:\n%s", want, saved)
		}
	}
	if strings.Contains(saved+printed, logSecret) || strings.Contains(saved+printed, "\x1b[31mred") {
		t.Error("the secret, or an escape sequence, is shown")
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("log_file is %v, %v", info.Mode(), err)
	}
}

// liveLines reads the machine's lines in packer's output, and lets the machine continue after each group.
type liveLines struct {
	t   *testing.T
	lab *lab

	instance string
	count    int
	latest   time.Duration // the longest time from the machine's printing to packer's
}

var liveLine = regexp.MustCompile(`\[ *\d+ s\] 1\| line (\d+) (\d+\.\d+)$`)

func (s *liveLines) read(text string) {
	text = strings.TrimRight(strings.TrimSuffix(text, "\x1b[0m"), "\r")
	if m := baked.FindStringSubmatch(text); m != nil {
		s.instance = m[1]
	}
	m := liveLine.FindStringSubmatch(text)
	if m == nil {
		return
	}
	s.count++
	if n, _ := strconv.Atoi(m[1]); n != s.count {
		s.t.Errorf("packer printed line %d, want line %d", n, s.count)
	}
	seconds, err := strconv.ParseFloat(m[2], 64)
	if err != nil {
		s.t.Error(err)
	}
	s.latest = max(s.latest, time.Since(time.UnixMicro(int64(seconds*1e6))))
	if s.count%linesByGroup == 0 {
		if _, err := s.lab.exec(s.t, s.instance, "touch",
			fmt.Sprintf("/run/group-%d", s.count/linesByGroup)); err != nil {
			s.t.Error(err)
		}
	}
}

// logPath matches where the log of a machine is, as packer prints it.
var logPath = regexp.MustCompile(`The log of the machine is in (\S+)`)

// savedLog returns the file of the log of a failed bake without log_file. It is removed with the test.
func savedLog(t *testing.T, name, printed string) string {
	t.Helper()
	m := logPath.FindStringSubmatch(printed)
	if m == nil || filepath.Base(filepath.Dir(m[1])) != "bakery-logs" ||
		!strings.HasPrefix(filepath.Base(m[1]), name+"-") {
		t.Fatalf("packer printed %q, want a log in bakery-logs", m)
	}
	t.Cleanup(func() { _ = os.Remove(m[1]) })
	return m[1]
}

// TestLogsOfAFailure bakes a step that prints much and fails: packer has to print its last lines, and log_file has the
// rest.
func TestLogsOfAFailure(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	const lines = 100_000
	source := write(t, map[string]string{
		"cloudinit/60_much.cfg": "#cloud-config\nruncmd:\n- echo the step before\n- seq -f 'line %.0f of many' " +
			fmt.Sprint(lines) + "; exit 7\n",
	})
	forEachLogMode(t, l, func(t *testing.T, mode string, vars []string) {
		dir := t.TempDir()
		name, _ := strings.CutPrefix(vars[0], "name=")
		out := &printedLines{}
		code := l.buildWithLogs(t, out, dir, append(vars, "source="+source, "log_file=")...)
		if code == 0 {
			t.Fatal("packer build succeeded")
		}
		printed := out.String()
		_, failed, ok := strings.Cut(printed, "60_much.cfg runcmd[1] failed with exit status 7; its last lines were:")
		if !ok {
			t.Fatalf("packer did not print what failed:\n%s", printed)
		}
		for n := lines - 39; n <= lines; n++ {
			if want := fmt.Sprintf("line %d of many", n); !strings.Contains(failed, want) {
				t.Errorf("the error does not show %q", want)
			}
		}
		if strings.Contains(failed, fmt.Sprintf("line %d of many", lines-40)) {
			t.Error("the error shows more than 40 lines")
		}
		if !strings.Contains(printed, "lines not shown") {
			t.Error("packer does not print that it does not show all lines")
		}
		if n := strings.Count(printed, "\n"); n > 20_000 {
			t.Errorf("packer printed %d lines", n)
		}
		saved := mustRead(t, savedLog(t, name, printed))
		want := []string{fmt.Sprintf("line %d of many\n", lines), "verdict"}
		if mode == "s3" {
			want = append(want, "the step before\n", "\nline 1 of many\n", fmt.Sprintf("\nline %d of many\n", lines/2))
		}
		for _, w := range want {
			if !strings.Contains(saved, w) {
				t.Errorf("%q is not in log_file", w)
			}
		}
		if mode == "s3" && strings.Count(saved, " of many\n") != lines {
			t.Errorf("%d lines of %d are in log_file", strings.Count(saved, " of many\n"), lines)
		}
	})
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestLogsWithoutS3 bakes with a bucket that refuses the log: the bake succeeds, and its lines come by the console.
func TestLogsWithoutS3(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	dir, image := t.TempDir(), testName(t)
	l.control(t, http.MethodPost, "faults", "PutObject=reset:1000:Key="+image+"/*log.gz")
	file := filepath.Join(dir, "machine.log")
	// The step ends when packer has printed what it has printed so far.
	source := write(t, map[string]string{
		"cloudinit/60_a.cfg": "#cloud-config\nruncmd:\n- echo first; until [ -e /run/go-on ]; do sleep 1; done; echo " +
			"last; " +
			"until [ -e /run/end ]; do sleep 1; done\n",
	})
	seen := &printedTexts{t: t, lab: l, touch: map[string]string{"1| first": "/run/go-on", "1| last": "/run/end"}}
	out := &printedLines{onLine: seen.read}
	code := l.buildWithLogs(t, out, dir, "source="+source, "name="+image, "log_file="+file, "staging=true")
	t.Logf("%s", out)
	if code != 0 {
		t.Fatalf("packer build: exit status %d", code)
	}
	for _, want := range []string{"1| first", "1| last"} {
		if strings.Count(out.String(), want) != 1 {
			t.Errorf("packer did not print %q once", want)
		}
	}
	if saved := mustRead(t, file); !strings.Contains(saved, "1| first\n") ||
		!strings.Contains(saved, "what it told while it baked") {
		t.Errorf("the log is:\n%s", saved)
	}
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// printedTexts makes a file on the machine when packer has printed a text.
type printedTexts struct {
	t     *testing.T
	lab   *lab
	touch map[string]string // files by the end of a line

	instance string
}

func (s *printedTexts) read(text string) {
	text = strings.TrimRight(strings.TrimSuffix(text, "\x1b[0m"), "\r")
	if m := baked.FindStringSubmatch(text); m != nil {
		s.instance = m[1]
	}
	for want, file := range s.touch {
		if !strings.HasSuffix(text, want) {
			continue
		}
		if _, err := s.lab.exec(s.t, s.instance, "touch", file); err != nil {
			s.t.Error(err)
		}
	}
}

func mustRead(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		names, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*"))
		t.Fatalf("%v; there are %v", err, names)
	}
	return string(content)
}
