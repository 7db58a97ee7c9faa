// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// goodEnvs are valid files. Bash sources each of them too, and must assign the same values.
var goodEnvs = []string{
	"",
	"# only a comment\n",
	"NAME=web\nVERSION=1.2.3\n",
	"NAME='two words'",
	`NAME="two words" VERSION="$NAME-1"` + "\n",
	"export NAME=web\nexport NAME\n",
	"A=b # comment\nB=c#d;C=e;\n\n",
	"A=a\\ b\\\\c\\$d\\~\\é\nB=\\~/x\nC=x:\\~\nD=\\\"'\\n'\n",
	"A='it'\\''s'\n",
	"A='x'\"y\"z\n",
	"A=\"a \\\"quoted\\\" \\$5 \\\\ \\n\"\n",
	"A='a\nb'\nB=\"c\nd\"\n",
	"A=1\nB=${A}x$A\nC=${A:-z}${D:-z}${A:+y}${D+y}${#A}\n",
	"A=1.2.3\nB=${A%.*}-${A%%.*}-${A#*.}-${A##*.}\nC=\"${A%.*}\"\n",
	"A=x\nA+=y\nB+=z\n",
	"A=é\nB=a*b?[c]\nC={a,b}\nD=a~b\nE=x=y\n",
	"A=\nB=''\nC=$A\n",
	"A=a\\\nb\n",
	"A=b\nA=c\n",
	"A='~' B=\"~/x\"\n",
	"A=x B=${C:-$A}\n",
	"NAME=' '\n",
}

func TestParseEnvReadsTheSameValuesAsBash(t *testing.T) {
	for _, content := range goodEnvs {
		env, problems := ParseEnv("ami.env", []byte(content))
		// An empty NAME would be a problem, an empty A is not.
		if problems != nil {
			t.Errorf("%q has problems: %v", content, problems)
			continue
		}
		for _, name := range env.Names {
			if got, want := env.Vars[name], bash(t, content, name); got != want {
				t.Errorf("%q assigns %s=%q, in bash %q", content, name, got, want)
			}
		}
	}
}

// bash sources content in an empty environment and returns the value of a variable.
func bash(t *testing.T, content, name string) string {
	t.Helper()
	cmd := exec.Command("bash", "--norc", "-c", content+"\nprintf '%s.' \"${"+name+"}\"")
	cmd.Env = []string{"PATH=/nowhere"}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("bash cannot read %q: %v", content, err)
	}
	return strings.TrimSuffix(string(out), ".")
}

func TestParseEnvReturnsNamesInTheOrderOfTheFile(t *testing.T) {
	env, _ := ParseEnv("ami.env", []byte("B=1\nA=2\nexport C=3\nB=4\n"))
	want := Env{Vars: map[string]string{"A": "2", "B": "4", "C": "3"}, Names: []string{"B", "A", "C"}}
	if diff := cmp.Diff(want, env); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseEnvReports(t *testing.T) {
	const (
		only      = "takes only assignments such as NAME='value': it runs nothing"
		operators = "of the parameter expansions only ${A}, ${#A}, ${A-x}, ${A:-x}, ${A+x}, ${A:+x}, ${A#x}, " +
			"${A##x}, ${A%x} and ${A%%x} are read"
		refused = "command substitution is refused, ami.env runs nothing: have compile.sh print NAME=value instead"
		inside  = "inside of ${...} only plain text and $NAME are read"
	)
	for name, tt := range map[string]struct {
		content string
		want    []string
	}{
		"all of them": {"NAME=\nA=é$(id)\nB=`id`\n",
			[]string{"1:1: NAME is empty: give it a value or remove it", "2:4: " + refused, "3:3: " + refused}},
		"an empty version": {"VERSION=1\nVERSION=''\n",
			[]string{"2:1: VERSION is empty: give it a value or remove it"}},
		"a command":                 {"rm -rf /\n", []string{"1:1: " + only}},
		"a command by another name": {"if true; then A=b; fi\n", []string{"1:1: " + only}},
		"an environment of a command": {"A=b c\n",
			[]string{"1:5: a blank ends the value of A, and what follows would be run: quote the value"}},
		"blanks around the =": {
			"A = b\n", []string{"1:1: A is followed by a blank: write A=value without blanks around the ="},
		},
		"a redirection": {"A=b > /tmp/x\nB=c &\n! C=d\n", []string{
			"1:1: takes only assignments such as NAME='value', without redirections or &: it runs nothing",
			"2:1: takes only assignments such as NAME='value', without redirections or &: it runs nothing",
			"3:1: takes only assignments such as NAME='value', without redirections or &: it runs nothing",
		}},
		"an array": {"A=(b c)\nA[1]=d\n",
			[]string{"1:1: A is an array, which ami.env cannot hold: make it a text",
				"2:1: A is an array, which ami.env cannot hold: make it a text"}},
		"declare": {"declare A=b\nexport -n A\n",
			[]string{"1:1: takes only assignments such as NAME='value' or export NAME='value'",
				"2:1: takes only assignments such as NAME='value' or export NAME='value'"}},
		"an export of nothing": {"export A\n",
			[]string{"1:8: A is exported before it is assigned: write export A='value'"}},
		"substitution in quotes":      {"A=\"x $(id)\"\nB=<(id)\n", []string{"1:6: " + refused, "2:3: " + refused}},
		"substitution in a parameter": {"A=${B:-$(id)}\n", []string{"1:8: " + inside}},
		"quotes in a parameter":       {"A=${B:-'x'}\nA=${B:-\\x}\n", []string{"1:8: " + inside, "2:8: " + inside}},
		"a home folder": {"A=~/x\nB=x:~\n",
			[]string{"1:3: ~ would be the home folder of whoever compiles: put the value in quotes",
				"2:3: ~ would be the home folder of whoever compiles: put the value in quotes"}},
		"arithmetic": {"A=$((1+1))\n", []string{"1:3: arithmetic is not computed: write the result"}},
		"other quotes": {"A=$'\\n'\nB=$\"x\"\n",
			[]string{"1:3: escapes in $'...' are not read: write the character itself in quotes",
				"2:3: translations in $\"...\" are not read: remove the $"}},
		"a pattern": {"A=@(a|b)\n", []string{"1:3: a pattern is not expanded: put the value in quotes"}},
		"parameters of the shell": {
			"A=$1$$\n", []string{"1:3: only variables that ami.env assigned before can be referred to"},
		},
		"other expansions": {"B=x\nA=${B:1}\nA=${B/x/y}\nA=${!B}\nA=${C:=x}\nA=${B^^}\n",
			[]string{"2:3: " + operators, "3:3: " + operators, "4:3: " + operators, "5:3: " + operators,
				"6:3: " + operators}},
		"the environment":         {"A=$HOME\n", []string{"1:3: read the value of A: HOME: unbound variable"}},
		"what bash cannot read":   {"A=1\nB='x\n", []string{"2:3: reached EOF without closing quote `'`"}},
		"NUL":                     {"A=1\nB=\x00\n", []string{"2: holds a NUL byte, which no variable can"}},
		"bytes that are not text": {"A=\xff\n", []string{"1: is not UTF-8: save it as UTF-8"}},
		"the line ends of Windows": {"A=1\r\nB=2\r\n",
			[]string{"1: has the line ends of Windows, which bash would take for part of the value: save it with " +
				"LF line ends"}},
		"a byte order mark": {
			"\ufeffA=1\n", []string{"1: begins with a byte order mark, which bash would take for part of the first " +
				"name: save it as UTF-8 without BOM"},
		},
		"values that double": {"A=" + strings.Repeat("x", 5000) + "\nA=$A$A\n",
			[]string{"2:1: value of A is over 8192 bytes"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, problems := ParseEnv("ami.env", []byte(tt.content))
			var got []string
			for _, p := range problems {
				got = append(got, strings.TrimPrefix(p.String(), "ami.env:"))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// FuzzParseEnv: no input makes ParseEnv panic, and what it reads can be written as assignments and read again.
func FuzzParseEnv(f *testing.F) {
	for _, content := range goodEnvs {
		f.Add([]byte(content))
	}
	for _, seed := range []string{"A=a\\", "A=$(id)", "A=${A[0]}", "A=(", "A=${", "export -x", "A=${B:-${C}}",
		"A=\"$\"", "A=${A#$A}", "A=${A%[}", "<<A\n", "A=$((1/0))"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		env, problems := ParseEnv("ami.env", content)
		for _, p := range problems {
			if p.Line < 1 || p.Message == "" {
				t.Errorf("a problem without its place: %#v", p)
			}
		}
		var written strings.Builder
		for _, name := range env.Names {
			if strings.Contains(env.Vars[name], "\r") {
				return // cannot be written again: readable refuses it
			}
			written.WriteString(shell.Assign(name, env.Vars[name]) + "\n")
		}
		again, _ := ParseEnv("ami.env", []byte(written.String()))
		if len(env.Names) != len(env.Vars) || len(again.Names) != len(env.Names) {
			t.Fatalf("%v is written as %q and comes back as %v", env, written.String(), again)
		}
		for name, value := range env.Vars {
			if again.Vars[name] != value {
				t.Errorf("%s=%q comes back as %q", name, value, again.Vars[name])
			}
		}
	})
}
