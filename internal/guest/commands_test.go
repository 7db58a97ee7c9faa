// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// shells are those that /bin/sh is on the distributions.
var shells = []string{"dash", "bash"}

// sh returns the path of a shell with the name sh, as which bash behaves as on a machine.
func sh(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "sh")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	return link
}

// runCommands runs the commands of one part in a shell, and returns what they print and how the part ends: "ok", or the
// status, the number of the command that failed, and the reason. In the commands, $dir is a directory of the test.
func runCommands(t *testing.T, shell string, commands ...string) (printed, outcome string) {
	t.Helper()
	var text strings.Builder
	fmt.Fprintf(&text, "shell='%s'\nmkdir -p $dir/bake/steps/001\n", sh(t, shell))
	for i, c := range commands {
		fmt.Fprintf(&text, "cat >$dir/bake/steps/001/%d <<'COMMAND'\n%s\nCOMMAND\n", i, c)
		fmt.Fprintf(&text, "echo 'command 001/%d a.cfg runcmd[%d]' >>$dir/bake/units\n", i, i)
	}
	text.WriteString(`echo 'command 002/0 b.cfg runcmd[0]' >>$dir/bake/units
bakery_is_shutting_down() { return 1; }
bakery_fail_step() { bakery_stop_accounting; echo "$1 in $(bakery_current_step 2>&-): $2"; exit 0; }
bakery_run_step() {
	(cd / && exec setsid "$shell" "$bakery_run/runcmd.sh") </dev/null >>"$bakery_dir/log" 2>&1
	bakery_code=$?
	[ "$bakery_code" = 0 ] || bakery_fail_step "$bakery_code" "$(cat "$bakery_run/reason" 2>/dev/null)"
}
bakery_n=1
bakery_read_step 1
bakery_next_step
[ "$(grep -c ^end $dir/bake/progress)" = $((bakery_n - 1)) ] && echo ok
`)
	dir, outcome := runGuestFunctions(t, text.String())
	log, err := os.ReadFile(filepath.Join(dir, "bake", "log"))
	if err != nil {
		t.Fatal(err)
	}
	printed = regexp.MustCompile(`(?m)^@bakery-at .*\n`).ReplaceAllString(string(log), "")
	return strings.ReplaceAll(printed, dir, "$dir"), strings.TrimSpace(outcome)
}

func TestCommandsShareAShell(t *testing.T) {
	const ok = "ok"
	for name, c := range map[string]struct {
		commands      []string
		want, outcome string
	}{
		"variables, functions and the directory": {
			[]string{"x=1; cd /usr; f() { echo f $1; }", "set -- a b\numask 027", "echo $x $PWD $2 $(umask); f 2"},
			"1 /usr b 0027\nf 2\n", ok},
		"a background job":       {[]string{"true & p=$!", "wait $p && echo waited"}, "waited\n", ok},
		"a failing command":      {[]string{"echo a", "false\n(exit 7)", "echo b"}, "a\n", "7 in 2:"},
		"a failing last command": {[]string{"echo a", "(exit 7)"}, "a\n", "7 in 2:"},
		"exit with a status":     {[]string{"exit 3", "echo b"}, "", "3 in 1:"},
		"exit before the last command": {[]string{"echo a", "exit", "echo b"}, "a\n",
			"0 in 2: it ended the shell: the commands after it did not run"},
		"exit in the last command": {[]string{"echo a", "exit 0"}, "a\n", ok},
		"exec with a program": {[]string{"exec true", "echo b"}, "",
			"0 in 1: it ended the shell: the commands after it did not run"},
		"a trap on exit": {[]string{"trap 'echo bye' EXIT", "echo a", "(exit 7)"}, "a\nbye\n",
			"7 in 3:"},
		"a trap on exit of a good part": {[]string{"trap 'echo bye' EXIT", "echo a"}, "a\nbye\n", ok},
		"a trap that hides the status":  {[]string{"trap 'echo bye; exit 0' EXIT", "(exit 7)"}, "bye\n", "7 in 2:"},
		"errexit":                       {[]string{"set -e", "echo a", "false; echo b", "echo c"}, "a\n", "1 in 3:"},
		"a backslash, a comment, an open here-document": {[]string{`echo a \`, "echo b # \\", "cat <<X\nc", "echo d"},
			"a\nb\nc\nd\n", ok},
		"progress that cannot be written": {[]string{"rm $dir/bake/progress && mkdir $dir/bake/progress", "echo b"}, "",
			"1 in 0: its progress cannot be written: is the disk full?"},
		"standard input": {[]string{"cat", "read -r x || echo end"}, "end\n", ok},
	} {
		for _, shell := range shells {
			t.Run(name+" in "+shell, func(t *testing.T) {
				t.Parallel()
				printed, outcome := runCommands(t, shell, c.commands...)
				printed = regexp.MustCompile(`(?m)^.*here-document.*\n`).ReplaceAllString(printed, "")
				if diff := cmp.Diff([]string{c.want, c.outcome}, []string{printed, outcome}); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		}
	}
}

// TestTheBookkeepingIsNeitherSeenNorBroken changes the shell in one command, for those after it.
func TestTheBookkeepingIsNeitherSeenNorBroken(t *testing.T) {
	for name, c := range map[string]struct{ change, command, want string }{
		"tracing":                   {"set -x", "echo a\nset +x", "+ echo a\na\n+ set +x\n"},
		"verbose reading":           {"set -v", "echo a\nset +v", "echo a\na\nset +v\n"},
		"both":                      {"set -xv", "echo a", "echo a\n+ echo a\na\n:\n+ :\n:\n+ :\n"},
		"unset variables as errors": {"set -u", "echo a", "a\n"},
		"no globbing":               {"set -f", "echo /*", "/*\n"},
		"no overwriting":            {"set -C", "echo a", "a\n"},
		"exported variables":        {"set -a", "env | grep -i __bakery || :", ""},
		"no path":                   {"PATH=", "echo a", "a\n"},
		"another IFS":               {"IFS=0123456789abcdefghijklmnopqrstuvwxyz/.", "echo a", "a\n"},
		"an empty IFS":              {"IFS=", "echo a", "a\n"},
		"other output":              {"exec 9>&1 >/dev/null 2>&1", "echo hidden; echo a >&9", "a\n"},
		"closed output":             {"exec 9>&1 >&- 2>&- <&-", "echo a >&9", "a\n"},
		"no permissions":            {"umask 777", "umask", "0777\n"},
		"limits":                    {"ulimit -n 16; ulimit -s 512", "ulimit -n", "16\n"},
		"a directory that is gone": {"mkdir /tmp/bakery-test-$$ && cd /tmp/bakery-test-$$ && rmdir $PWD", "echo a",
			"a\n"},
		"positional parameters": {"set -- a b c", "shift; echo $1", "b\n"},
		"a signal":              {"trap : USR1 CHLD; (kill -USR1 $$; kill -USR1 $$) &", "wait; echo a", "a\n"},
		"readonly variables":    {"readonly PATH IFS HOME PWD", "echo a", "a\n"},
		"no variables":          {"unset PATH IFS HOME PWD OLDPWD PS4", "echo a", "a\n"},
		"nothing to see in the shell": {"exec 9>&1",
			"(set; export -p; alias; trap; readonly) | grep bakery_ >&9 || :", ""},
		"no open files": {":", "ls -l /proc/self/fd | grep runcmd || :", ""},
		"functions named like programs": {functions("cat", "printf", "date", "echo", "read", "test", "true", "grep",
			"sed", "wc", "kill", "sha256sum", "tr", "rm", "mv", "command", "sleep", "systemctl"),
			"unset -f echo; echo a", "a\n"},
		"aliases": {aliases("cat", "printf", "echo", "read", "exit", "set", "trap", "command", "test", "exec"),
			`\echo a`, "a\n"},
	} {
		for _, shell := range shells {
			t.Run(name+" in "+shell, func(t *testing.T) {
				t.Parallel()
				printed, outcome := runCommands(t, shell, c.change, c.command, ":", ":")
				printed = strings.ReplaceAll(printed, "++ ", "+ ") // bash shows that the command is in a file
				if diff := cmp.Diff([]string{c.want, "ok"}, []string{printed, outcome}); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		}
	}
}

func functions(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteString(name + "() { return 9; }\n")
	}
	return b.String() + ":"
}

func aliases(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		b.WriteString(`\alias ` + name + "='/bin/echo broken'\n")
	}
	return b.String() + ":"
}
