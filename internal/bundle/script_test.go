// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// compiledBy compiles hello with this compile.sh, and returns the bundle and the lines that were shown.
func compiledBy(t *testing.T, script string, o Options) (*Bundle, []string, error) {
	t.Helper()
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	var shown []string
	o.Source = imageSource(t, with(hello(), "script/compile.sh", script))
	o.Target = filepath.Join(t.TempDir(), "out")
	o.Output = func(line string) { shown = append(shown, line) }
	before := snapshot(t, o.Source)
	b, err := Compile(t.Context(), o)
	if diff := cmp.Diff(before, snapshot(t, o.Source)); diff != "" {
		t.Errorf("the source was changed (-before +after):\n%s", diff)
	}
	if left := names(t, tmp); left != nil {
		t.Errorf("the work folder stays: %v", left)
	}
	return b, shown, err
}

// snapshot maps each path below dir to its mode and content.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		text := info.Mode().String()
		switch {
		case d.Type().IsRegular():
			content, err := os.ReadFile(path)
			must(t, err)
			text += " " + string(content)
		case d.Type() == fs.ModeSymlink:
			target, err := os.Readlink(path)
			must(t, err)
			text += " " + target
		}
		found[relative] = text
		return nil
	}))
	return found
}

func TestAssignmentsOfCompileGoToVarsAndTheRestIsShown(t *testing.T) {
	b, shown, err := compiledBy(t, `#!/bin/sh
echo VERSION=2.0.0
echo 'COMMIT="abc $VERSION"'
echo compiling
echo 'URL=$(id)'
echo 'A-B=1'
echo "to the error output" >&2
printf LAST=line
`, Options{})
	must(t, err)
	if b.Version != "2.0.0" || b.Env["COMMIT"] != "abc 2.0.0" || b.Env["LAST"] != "line" ||
		b.Env["TEAM"] != "the bakers" {
		t.Errorf("got %v", b.Env)
	}
	for _, line := range []string{"compiling", "URL=$(id)", "A-B=1", "to the error output"} {
		if strings.Count(strings.Join(shown, "\n"), line) != 1 {
			t.Errorf("%q is not shown once: %q", line, shown)
		}
	}
	if len(shown) != 4 {
		t.Errorf("shown is %q", shown)
	}
	read, err := Read(b.Dir)
	must(t, err)
	if diff := cmp.Diff(b.Env, read.Env); diff != "" {
		t.Errorf("read back (-compiled +read):\n%s", diff)
	}
}

func TestCompileAddsToTheImage(t *testing.T) {
	b, _, err := compiledBy(t, `#!/bin/sh
set -e
mkdir -p fs/opt/app
head -c 9000 /dev/urandom >fs/opt/app/made
printf '#cloud-config\nruncmd:\n  - echo made by compile\n' >cloudinit/65_made.cfg
rm cloudinit/60_late.yml
`, Options{})
	must(t, err)
	if b.FSInline || b.FS.Size < 9000 {
		t.Errorf("fs/ is not what it made: %+v", b)
	}
	if doc := document(t, b); !strings.Contains(doc, "made by compile") || strings.Contains(doc, "echo last") {
		t.Error("cloudinit/ is not what it made")
	}
}

func TestCompileSeesACopyWithTheGeneratedPartsButNotInstall(t *testing.T) {
	_, shown, err := compiledBy(t, `#!/bin/sh
find . -type f | LC_ALL=C sort
stat -c '%a %n' script/compile.sh fs/etc/hello.conf
umask
grep -h priority cloudinit/99_shutdown.cfg
`, Options{})
	must(t, err)
	want := []string{
		"./ami.env",
		"./cloudinit/10_early.cfg", "./cloudinit/20_hook.cfg", "./cloudinit/40_early.sh",
		"./cloudinit/50_fs-download.cfg", "./cloudinit/51_fs-extract.cfg", "./cloudinit/51_install.cfg",
		"./cloudinit/60_late.yml", "./cloudinit/70_late_script.sh", "./cloudinit/80_silent.cfg",
		"./cloudinit/98_log-copy.cfg", "./cloudinit/99_shutdown.cfg",
		"./fs/etc/hello.conf", "./readme.md", "./script/compile.sh",
		"755 script/compile.sh", "644 fs/etc/hello.conf", "0022",
		"# At this priority the machine prints its verdict and powers off.",
	}
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("it saw (-want +got):\n%s", diff)
	}
}

func TestCompileGetsTheEnvironmentWithoutVariablesOfTheOriginalScript(t *testing.T) {
	t.Setenv("SRC", "1")
	t.Setenv("TARGET", "1")
	t.Setenv("WORK", "1")
	t.Setenv("INHERITED", "yes")
	_, shown, err := compiledBy(t, "#!/bin/bash -e\necho \"${SRC-unset} ${TARGET-unset} ${WORK-unset} $INHERITED "+
		"$GIVEN $BASH_VERSINFO $-\"\n",
		Options{Env: map[string]string{"GIVEN": "a b", "WORK": "again"}})
	must(t, err)
	if len(shown) != 1 || !strings.HasPrefix(shown[0], "unset unset again yes a b 5 e") {
		t.Errorf("got %q", shown)
	}
}

func TestAFailingCompileIsShownWithTheEndOfItsOutput(t *testing.T) {
	b, _, err := compiledBy(t, "#!/bin/sh\nfor i in $(seq 50); do echo line $i; done\necho the end >&2\nexit 7\n",
		Options{})
	if err == nil || b != nil {
		t.Fatal("it compiles")
	}
	if !strings.HasPrefix(err.Error(), "run script/compile.sh: it failed with exit code 7; its output ended with\n "+
		" line 12\n") {
		t.Errorf("got %v", err)
	}
	if !strings.HasSuffix(err.Error(), "line 50\n  the end") || strings.Count(err.Error(), "\n") != tailLines {
		t.Errorf("the output is not its last %d lines: %v", tailLines, err)
	}
}

func TestErrorsOfCompileSayWhatWentWrong(t *testing.T) {
	cases := map[string]struct{ script, want string }{
		"it prints nothing": {"#!/bin/sh\nexit 3\n",
			"run script/compile.sh: it failed with exit code 3; it printed nothing"},
		"it is killed": {"#!/bin/sh\nkill -9 $$\n",
			"run script/compile.sh: signal: killed; it printed nothing"},
		"its interpreter is missing": {"#!/no/such/sh\n", "it failed with exit code 127"},
		"it breaks a part": {"#!/bin/sh\nprintf '#cloud-config\\npower_state: {}\\n' >cloudinit/61_x.cfg\n",
			"cloudinit/61_x.cfg:2:"},
		"it uses a reserved path": {"#!/bin/sh\nmkdir -p fs/var/lib/bakery && : >fs/var/lib/bakery/x\n",
			"fs/var/lib/bakery"},
		"it changes a generated part": {"#!/bin/sh\necho 'runcmd: [poweroff]' >>cloudinit/99_shutdown.cfg\n",
			"cloudinit/99_shutdown.cfg"},
		"it writes install.sh too": {"#!/bin/sh\necho '#!/bin/sh' >script/install.sh\n",
			"it wrote script/install.sh, which the Image-Source has too"},
		"it prints a reserved name": {"#!/bin/sh\necho BAKERY_FS_SIZE=1\n",
			"it printed BAKERY_FS_SIZE=, but names that begin with BAKERY_"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, _, err := compiledBy(t, c.script, Options{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestCompileMayWriteInstallWhenThereIsNone(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	source := imageSource(t, map[string]string{"script/compile.sh": "#!/bin/sh\nprintf '#!/bin/sh\\necho from " +
		"compile\\n' >script/install.sh\n"})
	if doc := document(t, compile(t, Options{Source: source})); !strings.Contains(doc, "echo from compile") {
		t.Error("install.sh is lost")
	}
}

// The script prints its process id, so the test needs no fixed waiting time.
func TestCancelEndsCompileAndEverythingItStarted(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	source := imageSource(t, with(hello(), "script/compile.sh", "#!/bin/sh\nsleep 1000 &\necho pid $! >&2\nwait\n"))
	stop, cancel := context.WithCancelCause(t.Context())
	pid := 0
	target := filepath.Join(t.TempDir(), "out")
	_, err := Compile(stop, Options{Source: source, Target: target, Output: func(line string) {
		if text, ok := strings.CutPrefix(line, "pid "); ok {
			pid, _ = strconv.Atoi(text)
			cancel(errors.New("the user pressed Ctrl-C"))
		}
	}})
	if err == nil || err.Error() != "run script/compile.sh: the user pressed Ctrl-C" {
		t.Errorf("got %v", err)
	}
	waitForEnd(t, pid)
	if left := names(t, tmp); left != nil {
		t.Errorf("the work folder stays: %v", left)
	}
	if _, err := os.Stat(target); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the target was made: %v", err)
	}
}

func TestBackgroundProcessesOfCompileAreKilled(t *testing.T) {
	_, shown, err := compiledBy(t, "#!/bin/sh\nsleep 1000 >/dev/null 2>&1 &\necho $!\n", Options{})
	must(t, err)
	pid, err := strconv.Atoi(strings.Join(shown, ""))
	must(t, err)
	waitForEnd(t, pid)
}

// waitForEnd waits until a killed process is gone, or is a zombie that its parent has not reaped yet.
func waitForEnd(t *testing.T, pid int) {
	t.Helper()
	if pid == 0 {
		t.Fatal("there is no process")
	}
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(status), ") Z ") {
			return
		}
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	t.Errorf("process %d is still running", pid)
}

func TestTheWorkFolderIsACompleteCopy(t *testing.T) {
	source := imageSource(t, with(hello(), "assets/tool", "x", "fs/opt/locked/file", "y"))
	must(t, os.Symlink("../../hello.conf", filepath.Join(source, "fs/opt/link")))
	must(t, os.Symlink("../../outside", filepath.Join(source, "assets/link")))
	must(t, os.Chmod(filepath.Join(source, "assets/tool"), 0o755|fs.ModeSetuid))
	must(t, os.Chmod(filepath.Join(source, "fs/opt/locked"), 0o555))
	t.Cleanup(func() { os.Chmod(filepath.Join(source, "fs/opt/locked"), 0o755) })

	work, err := newWorkFolder(source)
	must(t, err)
	want, got := snapshot(t, source), snapshot(t, work.Path)
	delete(want, ".")
	delete(got, ".")
	delete(want, "script/install.sh")
	want["assets/link"] = "Lrwxrwxrwx " + filepath.Join(filepath.Dir(source), "outside")
	for _, g := range generatedParts {
		want[g.path()] = "-rw-r--r-- " + string(g.content())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("copy (-want +got):\n%s", diff)
	}
	must(t, removeWorkFolder(work))
	if _, err := os.Lstat(filepath.Dir(work.Path)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it stays: %v", err)
	}
}

func TestAFileThatCannotBeCopiedIsNamedInTheError(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	source := imageSource(t, with(hello(), "script/compile.sh", "#!/bin/sh\n"))
	must(t, syscall.Mkfifo(filepath.Join(source, "script/pipe"), 0o600))
	_, err := Compile(t.Context(), Options{Source: source, Target: filepath.Join(t.TempDir(), "out")})
	if err == nil || !strings.Contains(err.Error(), "script/pipe is neither a file, a directory nor a link") {
		t.Errorf("got %v", err)
	}
	if left := names(t, tmp); left != nil {
		t.Errorf("the work folder stays: %v", left)
	}
}

func TestNewWorkFolderSaysWhatItCouldNotMake(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	_, err := newWorkFolder(imageSource(t, hello()))
	if err == nil || !strings.HasPrefix(err.Error(), "make the work folder for compile.sh: ") {
		t.Errorf("got %v", err)
	}
}

func TestLineWriterPassesOnWholeLines(t *testing.T) {
	var lines []string
	w := &lineWriter{line: func(line string) { lines = append(lines, line) }}
	for _, text := range []string{"a", "b\nc\r\n", "\n", strings.Repeat("x", maxLine+1), "\nlast"} {
		if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
			t.Fatalf("got %d, %v", n, err)
		}
	}
	w.flush()
	w.flush()
	if diff := cmp.Diff([]string{"ab", "c", "", strings.Repeat("x", maxLine), "x", "last"}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}
