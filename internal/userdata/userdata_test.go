// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/problem"
	"github.com/amibakery/packer-plugin-bakery/internal/userdata/userdatatest"
)

const mime = "Content-Type: multipart/mixed; boundary=B\nMIME-Version: 1.0\n\n"

func TestProgram(t *testing.T) {
	content := mime + "--B\nContent-Type: text/cloud-config\n\npackages: [a]\nruncmd: [date, [echo, a b]]\n" +
		"--B\nContent-Type: text/cloud-config\n\npackages: [b]\npower_state: {mode: reboot}\n" +
		"--B\nContent-Type: text/x-shellscript\nContent-Disposition: attachment; filename=z.sh\n\n#!/bin/sh\r\n" +
		"date\r\n" +
		"--B\nContent-Type: text/cloud-boothook\n\n#cloud-boothook\n\n#!/bin/sh\nid\n" +
		"--B\nContent-Type: text/jinja2\n\n## template: jinja\n#cloud-config\nhostname: {{ v1.region }}\n--B--\n"
	got, problems := Parse("x", []byte(content), nil)
	want := guest.Program{
		CloudConfig: []byte("#cloud-config\npackages:\n  - a\n  - b\n"),
		Keys:        []string{"packages"},
		Boothooks:   []guest.Part{{Name: "user data part 4", Content: []byte("#cloud-boothook\n#!/bin/sh\nid")}},
		Before: []guest.Step{
			{Name: "user data part 1", Commands: []guest.Command{{Index: 0, Script: "date"}, {Index: 1,
				Script: "'echo' 'a b'"}}},
			{Name: "user data part 3 (z.sh)", Script: []byte("#!/bin/sh\ndate\n")},
		},
		Unchecked: []guest.TypedPart{{
			Type: "text/jinja2", Name: "part-005-user-data",
			Content: []byte("## template: jinja\n#cloud-config\nhostname: {{ v1.region }}"),
		}},
		Opaque: true,
	}
	want.Before[1].Script = []byte("#!/bin/sh\ndate")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var lines []string
	for _, p := range problems {
		lines = append(lines, p.String())
	}
	wantLines := []string{
		"x:12: warning: part 2: packages is in part 1 too: here both are used, lists are appended and maps merged, " +
			"where " +
			"cloud-init alone would use only this one",
		"x:13:1: warning: power_state is left out: bakery powers the machine off itself once it has cleaned up and " +
			"reported",
		"x:30: warning: part 5: a jinja template is rendered on the machine: what it becomes is not checked, " +
			"cloud-init runs " +
			"it before the steps, and a failing command of its bootcmd counts only if it is the last",
	}
	if diff := cmp.Diff(wantLines, lines); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

// All mistakes are reported at once, each at its line of the user data where the part is in it as it is.
func TestPositions(t *testing.T) {
	encoded := base64.StdEncoding.EncodeToString([]byte("#cloud-config\nhostname: 5\n"))
	content := mime + "--B\nContent-Type: text/cloud-config\n\n#cloud-config\nhostname: 5\nlocale: a\nlocale: b\n" +
		"--B\nContent-Type: text/cloud-config\nContent-Transfer-Encoding: base64\n\n" + encoded +
		"\n--B\n\n#!/bin/sh\ndate )\n--B\nContent-Type: text/y\n\na\n" +
		"--B\nContent-Type: text/cloud-config-archive\n\n- content: |\n    #cloud-config\n    hostname: 6\n--B--\n"
	_, problems := Parse("dir/x", []byte(content), nil)
	var lines []string
	for _, p := range problems.Errors() {
		position, _, _ := strings.Cut(p.String(), ": ")
		lines = append(lines, position)
	}
	slices.Sort(lines)
	want := []string{
		"dir/x (part 2, decoded):2:11", // of the decoded content
		"dir/x:10:1",                   // a key twice
		"dir/x:19:6",                   // the script
		"dir/x:23",                     // the type
		"dir/x:29:15",                  // in the archive
		"dir/x:8:11",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got):\n%s\n%v", diff, problems)
	}
	if message := fmt.Sprint(problems); !strings.Contains(message, "first in line 9") {
		t.Errorf("another line that a message names is not that of the user data: %s", message)
	}
}

func TestIgnore(t *testing.T) {
	for name, tt := range map[string]struct {
		content string
		ignore  []string
		errors  int
		steps   int
	}{
		"an unknown key": {"#cloud-config\nrun_cmd: [a]\nruncmd: [b]\n", []string{"run_cmd"}, 0, 1},
		"another key":    {"#cloud-config\nrun_cmd: [a]\nhostname: 5\n", []string{"run_cmd"}, 1, 0},
		"a part of unknown type": {mime + "--B\nContent-Type: text/y\n\na\n--B\n\n#!/bin/sh\n--B--\n",
			[]string{"parts"}, 0, 1},
		"a part that is no YAML": {mime + "--B\n\n#cloud-config\na: [\n--B\n\n#!/bin/sh\n--B--\n", []string{"parts"},
			0, 1},
		"a boothook":               {"#cloud-boothook\ndate\n", []string{"boothooks"}, 0, 0},
		"a boothook, not as parts": {"#cloud-boothook\ndate\n", []string{"parts"}, 1, 0},
		"user data that is none":   {"hello", []string{"parts"}, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			if _, problems := Parse("x", []byte(tt.content), nil); problems.Err() == nil {
				t.Fatal("it is accepted when nothing is ignored")
			}
			program, problems := Parse("x", []byte(tt.content), tt.ignore)
			if got := len(problems.Errors()); got != tt.errors {
				t.Errorf("%d errors: %v", got, problems)
			}
			if len(program.Before) != tt.steps && tt.errors == 0 {
				t.Errorf("%d steps", len(program.Before))
			}
		})
	}
}

func TestUserDataOfABundleIsRefused(t *testing.T) {
	document, err := guest.Document(guest.Program{})
	if err != nil {
		t.Fatal(err)
	}
	_, problems := Parse("userdata.gz", guest.Compress(document), nil)
	if err := problems.Err(); err == nil || !strings.Contains(err.Error(), "give its folder as bundle") {
		t.Errorf("got %v", err)
	}
}

// limits are inputs that grow with n, and a part of the error for n as it is here.
var limits = map[string]struct {
	n       int
	content func(n int) string
	want    string
}{
	"a bomb of gzip": {65, bomb, "larger than"},
	"bombs of gzip in parts": {20, func(n int) string {
		part := "--B\nContent-Type: application/gzip\nContent-Transfer-Encoding: base64\n\n" +
			base64.StdEncoding.EncodeToString([]byte(bomb(65))) + "\n"
		return mime + strings.Repeat(part, n) + "--B--\n"
	}, "larger than"},
	"parts":               {200_000, parts("--B\n\n#!/bin/sh\n"), "more than 500 parts"},
	"parts with mistakes": {200_000, parts("--B\n\n#cloud-config\na: [\n"), "not checked"},
	"boundaries":          {200_000, parts("--B\n"), "is empty"},
	"levels": {10_000, func(n int) string {
		return "MIME-Version: 1.0\n" + numbered("Content-Type: multipart/x; boundary=b%d\n\n--b%[1]d\n", n)
	}, "levels deep"},
	"multiparts": {200_000, repeated(mime, "--B\nContent-Type: multipart/x\n\n", ""),
		"more than 500 multiparts"},
	"lines of one header": {200_000, repeated("MIME-Version: 1.0\nContent-Type: text/x\n", " a\n", "\na\n"), "text/x"},
	"headers":             {200_000, repeated("MIME-Version: 1.0\n", "a: b\n", ""), "more than 1000 headers"},
	"lines of a header": {200_000, repeated("MIME-Version: 1.0\nContent-Type: multipart/x; ", "\n a", ""),
		"no boundary"},
	"blank lines": {200_000, repeated("", "\n", "#!/bin/sh\n"), "has a blank before"},
	"parameters of a header": {200_000, repeated("MIME-Version: 1.0\nContent-Type: multipart/x", ";a", ""),
		"no boundary"},
	"aliases in an archive": {20_000, repeated("#cloud-config-archive\n- &a [x, x]\n", "- [*a, *a, *a]\n", ""),
		"aliases"},
	"entries of an archive": {40_000, repeated("#cloud-config-archive\n", "- a\n", ""), "more than"},
	"commands that no item ends": {20_000, repeated("#cloud-config\nruncmd:\n", "- if true; then\n", ""),
		"runcmd[0]: "},
	"keys": {20_000, repeated("#cloud-config\n", "a: &a [x]\n", ""), "second time"},
	"different unknown keys": {20_000, func(n int) string {
		return "#cloud-config\n" + numbered("k%d: a\n", n)
	}, "unknown key"},
	"parts far down the text": {200_000, func(n int) string {
		return mime + strings.Repeat("\n", n) + strings.Repeat("--B\n\n#cloud-config\nhostname: 5\n", 60) + "--B--\n"
	}, "hostname"},
}

func parts(part string) func(n int) string { return repeated(mime, part, "--B--\n") }

func repeated(before, each, after string) func(n int) string {
	return func(n int) string { return before + strings.Repeat(each, n) + after }
}

// bomb returns n MiB of zeros, compressed.
func bomb(n int) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for range n {
		_, _ = w.Write(make([]byte, 1<<20))
	}
	_ = w.Close()
	return b.String()
}

func TestLimits(t *testing.T) {
	for name, limit := range limits {
		t.Run(name, func(t *testing.T) {
			_, problems := Parse("x", []byte(limit.content(limit.n)), nil)
			if err := problems.Err(); err == nil || !strings.Contains(err.Error(), limit.want) {
				t.Errorf("no error says %q: %.1000s", limit.want, fmt.Sprint(err))
			}
		})
	}
}

// BenchmarkParse shows how the time grows with what is read: make bench prints it.
func BenchmarkParse(b *testing.B) {
	for name, limit := range limits {
		for _, n := range []int{limit.n, 2 * limit.n} {
			content := []byte(limit.content(n))
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.SetBytes(int64(len(content)))
				for b.Loop() {
					_, _ = Parse("x", content, nil)
				}
			})
		}
	}
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// FuzzParse: any bytes give a program that can be rendered, or an error; and the lines of problems exist.
func FuzzParse(f *testing.F) {
	for _, c := range userdatatest.All() {
		f.Add([]byte(c.Content), "")
	}
	f.Add([]byte("#cloud-boothook\n"), "boothooks")
	f.Add([]byte(mime+"--B\nContent-Type: text/y\n\na\n--B--\n"), "parts")
	f.Fuzz(func(t *testing.T, content []byte, ignore string) {
		program, problems := Parse("x", content, []string{ignore})
		for _, p := range problems {
			if p.Line < 0 || p.Column < 0 || p.Message == "" {
				t.Errorf("a problem is at no position: %+v", p)
			}
		}
		if problems.Err() != nil {
			return
		}
		if !program.Opaque && len(program.Before) == 0 && len(program.Boothooks) == 0 && len(program.Keys) == 0 &&
			len(problems) == 0 {
			t.Errorf("nothing is done, and nothing is said: %q", content)
		}
		document, err := guest.Document(program)
		if err != nil {
			t.Fatalf("it cannot be rendered: %v", err)
		}
		launch := guest.Launch{Reader: guest.Reader{BakeID: "0123456789abcdef"}}
		if _, err := guest.Deliver(document, launch, guest.Delivery{Timeout: time.Minute}); err != nil {
			t.Errorf("a delivery cannot be added: %v", err)
		}
		if _, again := Parse("x", content, []string{ignore}); !slices.EqualFunc(problems, again, func(a,
			b problem.Problem) bool {
			return a == b
		}) {
			t.Errorf("a second run finds other problems")
		}
	})
}
