// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bake

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

func TestCommandQuotesItsWords(t *testing.T) {
	for name, c := range map[string]struct {
		cli  CLI
		want string
	}{
		"plain": {CLI{Region: "us-east-1"}, "aws s3 rm s3://x/y --region us-east-1"},
		"with a profile": {
			CLI{Region: "us-east-1", Profile: "dev"}, "aws s3 rm s3://x/y --region us-east-1 --profile dev",
		},
		"with words in a profile": {
			CLI{Region: "us-east-1", Profile: "it's"}, `aws s3 rm s3://x/y --region us-east-1 --profile 'it'\''s'`,
		},
		"with an unusual region":   {CLI{Region: "a b"}, "aws s3 rm s3://x/y --region 'a b'"},
		"without a region (never)": {CLI{}, "aws s3 rm s3://x/y --region ''"},
	} {
		if got := c.cli.Command("s3 rm %s", Word("s3://x/y")); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
	cli := CLI{Region: "us-east-1", Profile: "dev"}
	if got, want := cli.CommandIn("eu-west-1", "s3 rm %s", Word("s3://x/$(y)")),
		"aws s3 rm 's3://x/$(y)' --region eu-west-1 --profile dev"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWordQuotesWhatShellsRead(t *testing.T) {
	for text, want := range map[string]string{
		"i-0123": "i-0123", "s3://b/k.gz": "s3://b/k.gz", "a@b:c_d": "a@b:c_d",
		"": "''", "a b": "'a b'", "$x": "'$x'", "~": "'~'", "a*": "'a*'", "it's": `'it'\''s'`, "a\nb": "'a\nb'",
		"a=b": "'a=b'",
	} {
		if got := Word(text); got != want {
			t.Errorf("%q became %s, want %s", text, got, want)
		}
	}
}

// FuzzWord checks that the sh of this computer reads every word as itself, and runs nothing of it.
func FuzzWord(f *testing.F) {
	for _, text := range []string{
		"", "i-0123", "a b", "it's", "$(id)", "`id`", "-n", "~", "a=b", "\\", "a\nb", "#", "\u00e4", `"x"`,
	} {
		f.Add(text, text)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		const longest = 10_000 // of what a command line can hold
		if !shell.CanQuote(first) || !shell.CanQuote(second) || len(first)+len(second) > longest {
			return
		}
		script := "set -- " + Word(first) + " " + Word(second) + "\nprintf '%s.%s.%s' \"$#\" \"$1\" \"$2\""
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", script)
		cmd.Env = []string{"PATH=/nonexistent", "HOME=/nonexistent"} // whatever it tries to run, it does not find
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != "2."+first+"."+second {
			t.Errorf("%q and %q are read as %q, error %v", first, second, out, err)
		}
	})
}

func TestCount(t *testing.T) {
	for n, want := range []string{"0 files", "1 file", "2 files"} {
		if got := Count(n, "file"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if got := CLI.Command(CLI{Region: "us-east-1"}, "x"); strings.Contains(got, "--profile") {
		t.Errorf("a build without a profile has %s", got)
	}
}
