// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bytes"
	"fmt"
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

// timestampedOutput notes when each line of an output came.
type timestampedOutput struct {
	mu    sync.Mutex
	rest  []byte
	lines []line
}

type line struct {
	at   time.Time
	text string
}

func (s *timestampedOutput) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.rest = append(s.rest, p...)
	for {
		i := bytes.IndexByte(s.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		s.lines = append(s.lines, line{now, string(s.rest[:i])})
		s.rest = s.rest[i+1:]
	}
}

func (s *timestampedOutput) String() string {
	var b strings.Builder
	for _, l := range s.lines {
		b.WriteString(l.text + "\n")
	}
	return b.String()
}

// buildWithLogs runs packer build with the template of these tests.
func (l *lab) buildWithLogs(t *testing.T, dir string, vars ...string) (*timestampedOutput, int) {
	t.Helper()
	argv := []string{packertest.Built(t).Packer, "build"}
	for _, v := range vars {
		argv = append(argv, "-var", v)
	}
	out := &timestampedOutput{}
	code := packertest.Stream(t, out, dir, l.environ(t), append(argv, absolute(t, logsTemplate))...)
	return out, code
}

// forEachLogMode are the ways of live_log on a guest.
func forEachLogMode(t *testing.T, l *lab, do func(t *testing.T, mode string, vars []string)) {
	t.Helper()
	t.Run("each", func(t *testing.T) {
		for suite := range strings.SplitSeq(*guests, ",") {
			for _, mode := range []string{"console", "s3"} {
				t.Run(suite+" "+mode, func(t *testing.T) {
					t.Parallel()
					do(t, mode, []string{
						"name=" + testName(t), "staging=" + strconv.FormatBool(mode == "s3"),
						"source_ami=" + l.values["BAKERY_LAB_AMI_"+strings.ToUpper(suite)],
					})
				})
			}
		}
	})
}

// TestLogsComeWhileTheMachineWorks: what a step prints is in packer's output within 10 s, each line once and in order.
func TestLogsComeWhileTheMachineWorks(t *testing.T) {
	l := sharedLab(t)
	const ticks, secret = 20, "hunter2-of-the-test"
	source := write(t, map[string]string{
		"cloudinit/10_early.cfg": "#cloud-config\nbootcmd:\n- echo printed early\n",
		"cloudinit/60_ticks.cfg": "#cloud-config\nruncmd:\n- for i in $(seq " + fmt.Sprint(ticks) + "); do echo \"tick $i $(date +%s.%N)\"; sleep 1; done\n" +
			"- [printf, '\\033[31mred\\033[0m %s\\r\\n', '" + secret + "']\n",
	})
	forEachLogMode(t, l, func(t *testing.T, mode string, vars []string) {
		dir := t.TempDir()
		file := filepath.Join(dir, "machine.log")
		out, code := l.buildWithLogs(t, dir, append(vars, "source="+source, "log_file="+file, "secret="+secret)...)
		t.Logf("%s", out)
		if code != 0 {
			t.Fatalf("packer build: exit status %d", code)
		}
		latest := checkTicks(t, out, ticks)
		t.Logf("latency at most %s", latest)
		for _, want := range []string{"cloud-init| printed early", "2| red <sensitive>"} {
			if strings.Count(out.String(), want) != 1 {
				t.Errorf("packer did not say %q once", want)
			}
		}
		saved := mustRead(t, file)
		for _, want := range []string{"printed early", "tick 1 ", fmt.Sprintf("tick %d ", ticks), "verdict", "red <sensitive>"} {
			if !strings.Contains(saved, want) {
				t.Errorf("%q is not in log_file:\n%s", want, saved)
			}
		}
		if strings.Contains(saved+out.String(), secret) || strings.Contains(saved+out.String(), "\x1b[31mred") {
			t.Error("the secret, or an escape sequence, came through")
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("log_file is %v, %v", info.Mode(), err)
		}
	})
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

var tick = regexp.MustCompile(`\[ *\d+ s\] 1\| tick (\d+) (\d+\.\d+)$`)

// checkTicks makes sure that the lines came once, in order and soon, and returns the longest time one took.
func checkTicks(t *testing.T, out *timestampedOutput, ticks int) time.Duration {
	t.Helper()
	const limit = 10 * time.Second
	next, latest, late := 1, time.Duration(0), 0
	for _, l := range out.lines {
		m := tick.FindStringSubmatch(strings.TrimRight(strings.TrimSuffix(l.text, "\x1b[0m"), "\r"))
		if m == nil {
			continue
		}
		if n, _ := strconv.Atoi(m[1]); n != next {
			t.Errorf("line %d came where %d was to come", n, next)
		}
		next++
		seconds, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			t.Fatal(err)
		}
		took := l.at.Sub(time.UnixMicro(int64(seconds * 1e6)))
		latest = max(latest, took)
		if took > limit {
			late++
		}
	}
	if next != ticks+1 {
		t.Errorf("%d of %d lines came", next-1, ticks)
	}
	// With ten times as much to do as there are processors for it, some take longer.
	if late > ticks/4 || latest > 3*limit {
		t.Errorf("%d lines of %d took more than %s, one %s", late, ticks, limit, latest)
	}
	return latest
}

// TestLogsOfAFailure: of a step that prints much before it fails, its last lines are shown, and log_file has what there is.
func TestLogsOfAFailure(t *testing.T) {
	l := sharedLab(t)
	const lines = 100_000
	source := write(t, map[string]string{
		"cloudinit/60_much.cfg": "#cloud-config\nruncmd:\n- echo the step before\n- seq -f 'line %.0f of many' " + fmt.Sprint(lines) + "; exit 7\n",
	})
	forEachLogMode(t, l, func(t *testing.T, mode string, vars []string) {
		dir := t.TempDir()
		name, _ := strings.CutPrefix(vars[0], "name=")
		file := filepath.Join(dir, name+".log")
		out, code := l.buildWithLogs(t, dir, append(vars, "source="+source, "log_file=")...)
		if code == 0 {
			t.Fatal("packer build succeeded")
		}
		printed := out.String()
		_, failed, ok := strings.Cut(printed, "60_much.cfg runcmd[1] failed with exit status 7; its last lines were:")
		if !ok {
			t.Fatalf("packer did not say what failed:\n%s", printed)
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
			t.Error("packer does not say that it does not show all lines")
		}
		if n := strings.Count(printed, "\n"); n > 20_000 {
			t.Errorf("packer said %d lines", n)
		}
		saved := mustRead(t, file)
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
	if left := append(l.leftovers(t), l.orphans(t)...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestLogsWithoutS3: a bucket that takes no log keeps nothing from the bake, and lines come by the console.
func TestLogsWithoutS3(t *testing.T) {
	l, err := serve(packertest.Built(t).Lab, "--fault", "PutObject=reset:1000:Key=*/log.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.stop(); err != nil {
			t.Error(err)
		}
	}()
	dir := t.TempDir()
	file := filepath.Join(dir, "machine.log")
	source := write(t, map[string]string{
		"cloudinit/60_a.cfg": "#cloud-config\nruncmd:\n- echo first; sleep 25; echo last; for i in $(seq 5); do sleep 1; echo $i; done\n",
	})
	out, code := l.buildWithLogs(t, dir, "source="+source, "name="+testName(t), "log_file="+file, "staging=true")
	t.Logf("%s", out)
	if code != 0 {
		t.Fatalf("packer build: exit status %d", code)
	}
	for _, want := range []string{"1| first", "1| last", "1| 5"} {
		if strings.Count(out.String(), want) != 1 {
			t.Errorf("packer did not say %q once", want)
		}
	}
	if saved := mustRead(t, file); !strings.Contains(saved, "1| first\n") || !strings.Contains(saved, "what it told while it baked") {
		t.Errorf("the log is:\n%s", saved)
	}
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
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
