// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// runBootcmd merges parts and runs their bootcmd as cloud-init does, with a shell. It returns the exit status, what the
// commands printed, and what the bookkeeping left: the failures and the last command, a line each.
func runBootcmd(t *testing.T, sh string, ignore bool, parts ...string) (code int, printed, left string) {
	t.Helper()
	var docs []*Document
	for i, part := range parts {
		doc, problems := Parse("cloudinit/"+string(rune('1'+i))+"0_x.cfg", []byte(Header+"\n"+part))
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		docs = append(docs, doc)
	}
	merged, _ := Merge(docs)
	var config struct{ Bootcmd []string }
	if err := yaml.Unmarshal(merged.Config, &config); err != nil || len(config.Bootcmd) != 1 {
		t.Fatalf("%v\n%s", err, merged.Config)
	}
	dir := t.TempDir()
	if ignore {
		if err := os.WriteFile(filepath.Join(dir, "bakery-bootcmd.ignore"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "script")
	script := "#!/bin/sh\n" + strings.ReplaceAll(config.Bootcmd[0], "/run/bakery-", dir+"/bakery-") + "\n"
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	words := append(strings.Fields(sh), file)
	out, err := exec.CommandContext(t.Context(), words[0], words[1:]...).CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"bakery-bootcmd.failed", "bakery-bootcmd"} {
		content, _ := os.ReadFile(filepath.Join(dir, name))
		left += strings.TrimSuffix(string(content), "\n") + ";"
	}
	return code, string(out), left
}

func TestBootcmdTellsWhichCommandFailed(t *testing.T) {
	for name, c := range map[string]struct {
		parts   []string
		ignore  bool
		code    int
		printed string
		left    string
	}{
		"all succeed": {[]string{"bootcmd: [echo a, [echo, 'b  c']]", "bootcmd: ['echo d']"}, false, 0,
			"a\nb  c\nd\n", ";;"},
		"the first of two parts": {[]string{"bootcmd: ['echo a; exit_with() { return 3; }; exit_with', echo b]",
			"bootcmd: [echo d]"},
			false, 3, "a\n", "3 10_x.cfg bootcmd[0];2 10_x.cfg bootcmd[0];"},
		"a null item keeps the numbers": {[]string{"bootcmd: [null, 'true', '(exit 9)']"}, false, 9, "",
			"9 10_x.cfg bootcmd[2];0 10_x.cfg bootcmd[2];"},
		"a failure that is allowed": {[]string{"bootcmd: [(exit 4), echo b, (exit 5)]"}, true, 0, "b\n",
			"4 10_x.cfg bootcmd[0]\n5 10_x.cfg bootcmd[2];;"},
		"an exit":         {[]string{"bootcmd: [exit 0, echo b]"}, false, 0, "", ";1 10_x.cfg bootcmd[0];"},
		"an exit at last": {[]string{"bootcmd: [echo b, exit 0]"}, false, 0, "b\n", ";0 10_x.cfg bootcmd[1];"},
		"under set -e": {[]string{"bootcmd: [set -eu, '(exit 6)', echo b]"}, false, 6, "",
			";1 10_x.cfg bootcmd[1];"},
		"options, IFS, PATH, a directory, a function and variables stay": {[]string{
			"bootcmd: ['IFS=0123456789; PATH=/none; set -eufC; cd /', 'f() { printf \"%s\\n\" \"$v$PWD\"; }; v=x', " +
				"f]"}, false, 0,
			"x/\n", ";;"},
		"a backslash, a comment and a here-document at the end": {[]string{"bootcmd:\n- 'echo a \\'\n- 'echo b # " +
			"c'\n- |-\n  cat <<E\n  d\n  E\n- echo e"},
			false, 0, "a\nb\nd\ne\n", ";;"},
		"tracing": {[]string{"bootcmd: [set -x, echo a, set +x]"}, false, 0,
			"+ echo a\na\n+ set +x\n", ";;"},
		"a name with a quote": {[]string{"bootcmd: [\"echo 'x'\"]"}, false, 0, "x\n", ";;"},
	} {
		for _, sh := range []string{"dash", "bash --posix"} {
			t.Run(name+" in "+sh, func(t *testing.T) {
				code, printed, left := runBootcmd(t, sh, c.ignore, c.parts...)
				if code != c.code || printed != c.printed || left != c.left {
					t.Errorf("exit status %d, printed %q, left %q", code, printed, left)
				}
			})
		}
	}
}

func TestBootcmdIsCheckedAsRuncmdIs(t *testing.T) {
	_, problems := Parse("x.cfg", []byte(Header+"\nbootcmd:\n- {a: b}\n- 'if true'\n- 7\n"))
	if len(problems) != 3 || !strings.Contains(problems[0].Message, "bootcmd[0] is a mapping") {
		t.Errorf("problems: %v", problems)
	}
}
