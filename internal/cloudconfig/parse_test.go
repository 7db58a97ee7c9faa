// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/problem"
	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// lines returns problems as they are shown, without the path.
func lines(l problem.List) []string {
	var shown []string
	for _, p := range l {
		shown = append(shown, strings.TrimPrefix(p.String(), "x.cfg:"))
	}
	return shown
}

func TestParseReports(t *testing.T) {
	for name, tt := range map[string]struct {
		content string
		want    []string
	}{
		"nothing about a good part":  {"#cloud-config\npackages: [curl]\nruncmd:\n  - echo hi\n  - [echo, hi]\n", nil},
		"nothing about an empty one": {"#cloud-config\n", nil},
		"nothing about null":         {"#cloud-config\n~\n", nil},
		"nothing about Windows ends": {"#cloud-config\r\nruncmd:\r\n  - |\r\n    echo hi\r\n", nil},
		"nothing about YAML 1.1":     {"package_update: yes\nwrite_files: [{path: /x, permissions: 0o644}]\n", nil},
		"nothing about binary": {"write_files:\n  - path: /x\n    content: !!binary |\n      aGVs\n      bG8=\n",
			nil},
		"nothing about known tags": {
			"hostname: !!str 5\npackages: !!seq [!!str x]\npackage_update: !!bool yes\nntp: !!map {}\n", nil,
		},

		"a list at the top": {"- a\n",
			[]string{`1:1: top level is a list, but cloud-config is a mapping of keys such as "packages:" and ` +
				`"runcmd:"`}},
		"a text at the top": {"#cloud-config\nruncmd\n",
			[]string{`2:1: top level is a text, but cloud-config is a mapping of keys such as "packages:" and ` +
				`"runcmd:"`}},
		"a second document": {"a: 1\n---\nb: 1\n",
			[]string{"2:1: a second YAML document begins here, and cloud-init reads none of a part with two: make " +
				"it a part of its own"}},
		"a broken one": {"hostname: a\n---\nb: 'x\n",
			[]string{"3:1: read YAML: found unexpected end of stream"}},
		"a byte order mark": {"\ufeff#cloud-config\n",
			[]string{"1:1: begins with a byte order mark, which hides the first line from cloud-init: save it as " +
				"UTF-8 without BOM"}},
		"bytes that are not text": {"a: 1\nb: é\xe9\n",
			[]string{"2:5: byte 0xe9 is not UTF-8: save the file as UTF-8"}},
		"control characters": {"a: 1\nb: \x1b[0m\n",
			[]string{"2:4: control character U+001B is not allowed in YAML: write it as an escape in double quotes"}},
		"a replacement character is text": {"hostname: \ufffd\n", nil},
		"jinja": {"## template: jinja\n#cloud-config\nhostname: {{ x }}\n",
			[]string{"1:1: jinja templates cannot be merged, they are rendered on the machine only: write the " +
				"values out, or use a \"#!\" part that asks `cloud-init query`"}},

		"a colon in a value": {"a: 1\nhostname: b: c\n",
			[]string{"2:1: read YAML: mapping values are not allowed in this context"}},
		"a wrong indentation": {"packages:\n  - a\n  - b\n - c\nhostname: x\n",
			[]string{"4:2: read YAML: did not find expected key"}},
		"an open quote where it opens": {"hostname: x\npackages:\n  - 'a\n  - b\n",
			[]string{"3:3: read YAML: found unexpected end of stream"}},
		"an open quote far above the end": {"hostname: 'x\n\n\nlocale: y\n",
			[]string{"1:1: read YAML: found unexpected end of stream"}},
		"an open bracket": {"packages: [a\nhostname: x\n",
			[]string{"1:1: read YAML: did not find expected ',' or ']'"}},
		"an unknown anchor": {"a: 1\nb: [x, *y]\n", []string{"2:8: read YAML: unknown anchor 'y' referenced"}},
		"every tab but those in text": {
			"write_files:\n  - path: /x\n    content: |\n      a:\n      \tb\nntp:\n\tenabled: true\n\n  " +
				"\tservers: [a]\nhostname: x\n",
			[]string{"7:1: indented with a tab: YAML allows only spaces, replace the tab by spaces",
				"9:3: indented with a tab: YAML allows only spaces, replace the tab by spaces"},
		},

		"duplicate keys at every depth": {
			"hostname: a\nntp:\n  enabled: true\n  enabled: false\nhostname: b\nwrite_files:\n  - {path: /a, path: " +
				"/b}\n",
			[]string{
				`4:3: key "enabled" is here a second time, first in line 3: YAML would silently drop the first, ` +
					`join them`,
				`5:1: key "hostname" is here a second time, first in line 1: YAML would silently drop the first, ` +
					`join them`,
				`7:16: key "path" is here a second time, first in line 7: YAML would silently drop the first, join ` +
					`them`,
			},
		},
		"a key that is a list": {"? [a, b]\n: c\n",
			[]string{"1:3: a key is a list, but cloud-init knows only plain keys: quote it if it is meant as text"}},
		"a key that is empty": {"? \n: c\n~: d\n",
			[]string{"1:2: a key is empty: write one before the colon, or quote it if it is meant as text",
				"3:1: a key is empty: write one before the colon, or quote it if it is meant as text"}},
		"an unknown tag": {"hostname: !foo x\n",
			[]string{"1:11: tag !foo is not known to cloud-init, which would drop the whole part: remove the tag"}},
		"a tag of the wrong kind": {"packages: !!map [a]\n",
			[]string{"1:11: tag !!map is not known to cloud-init, which would drop the whole part: remove the tag"}},
		"a value that is no number": {"password: !!int abc\n", []string{`1:11: "abc" is not a value of type !!int`}},
		"binary that is not base64": {"hostname: !!binary '?'\n",
			[]string{`1:11: "?" is not a value of type !!binary`}},
		"an alias in itself": {"packages: &a\n  - *a\n", []string{"2:5: alias *a is inside of what it stands for"}},
		"a mistake behind an alias once": {
			"write_files:\n  - &a {path: /a, path: /b}\n  - *a\n",
			[]string{`2:19: key "path" is here a second time, first in line 2: YAML would silently drop the first, ` +
				`join them`},
		},
		"a merge key that merges a text": {"ntp:\n  <<: x\n",
			[]string{"2:7: merge key << needs a mapping or a list of mappings, but this is a text"}},
		"a merge key that merges a list of text": {"ntp:\n  <<: [x]\n",
			[]string{"2:7: merge key << needs a mapping or a list of mappings, but an item is a text"}},

		"modes that are numbers": {
			"write_files:\n  - {path: /a, permissions: 0644}\n  - {path: /a, permissions: 644}\n  - {path: /a, " +
				"permissions: 1777}\n  - {path: /a, permissions: 6.5}\n  - {path: /a, permissions: '0644'}\n  - " +
				"{path: /a}\n  - 7\n",
			[]string{
				"2:29: permissions 0644: a number where cloud-init wants text, quote it: '0644'",
				"3:29: permissions 644: the decimal number 644 is mode 1204, quote it: '0644'",
				"4:29: permissions 1777: the decimal number 1777 is mode 3361, quote it: '1777'",
				"5:29: permissions 6.5: a number where cloud-init wants text, quote it: '0644'",
				"8:5: write_files[6] is a number, but must be a mapping with path and content",
			},
		},
		"a mode that is not octal": {"write_files: [{path: /a, permissions: 'u=rw'}]\n",
			[]string{`1:39: permissions "u=rw" is not an octal number, so cloud-init would take 0644: ` +
				`write it as '0644'`}},
		"write_files that is no list": {"write_files: {path: /a}\n",
			[]string{"1:14: write_files is a mapping, but must be a list: begin each item with \"- \""}},
		"values a module fails with": {
			"ntp: [a]\nbootcmd: [{a: b}, 5, ~]\npackages: [{a: }, 5, [a, b, c]]\nmounts: [/a]\nfqdn: 5\n" +
				"ssh_authorized_keys: [5]\napt: {sources: [a]}\n",
			[]string{
				"1:6: ntp is a list, but must be a mapping: cloud-init would not apply it",
				"2:11: bootcmd[0] is a mapping, because of a colon followed by a blank: quote the whole command",
				"2:19: bootcmd[1] is a number, but must be a text or a list of texts: quote it",
				"3:12: packages[0] is a mapping, but must be a name: is there a colon too many?",
				"3:13: warning: packages[0] has no key \"a\" that cloud-init knows",
				"3:19: packages[1] is a number, but must be a text: quote it",
				"3:22: packages[2] is a list of 3, but must be a name and a version",
				"4:10: a mount is a text, but must be a list such as [/dev/xvdf, /data]: cloud-init would leave it out",
				"5:7: fqdn is a number, but must be a text: quote it",
				"6:23: an SSH key is a number, but must be a text: quote it",
				"7:16: apt.sources is a list, but must be a mapping of names to sources",
			},
		},
		"a bootcmd its shell cannot read": {"bootcmd:\n- if true; then\n- echo\n- fi )\n",
			[]string{"2:12: bootcmd[0]: `then` must be followed by a statement list; each item is a command of its own: " +
				"write what belongs together as one item with \"- |\"", "4:3: bootcmd[2]: `fi` can only be used to end an `if`"}},
		"a bootcmd of several items": {"bootcmd:\n- if true; then\n- [echo]\n- fi\n", nil},
		"files that are not what their encoding says": {
			"write_files:\n- {path: /a, encoding: b64, content: a!b}\n- {path: /a, encoding: gz+b64, content: " +
				"aGVsbG8=}\n" +
				"- {path: /a, encoding: bas64, content: x}\n- {path: '', content: x}\n- {path: 5, content: x}\n" +
				"- {path: /a, encoding: B64, content: aGVs bG8=}\n- {path: /a, encoding: gz, content: " +
				"!!binary H4sIAAAAAAAC/wMAAAAAAAAAAAA=}\n",
			[]string{
				"2:38: write_files[0].content is not base64, as its encoding says",
				"3:41: write_files[1].content is not gzip, as its encoding says",
				`4:24: write_files[2].encoding "bas64" is not known to cloud-init, which would write the content as it ` +
					`is: use b64 or gz+b64, or leave it out`,
				"5:3: write_files[3] has no path, so cloud-init would leave it out",
				"6:10: write_files[4].path is a number, but must be a text: quote it",
				"7:24: warning: write_files[5].encoding: value must be one of 'gz', 'gzip', 'gz+base64', " +
					"'gzip+base64', " +
					"'gz+b64', 'gzip+b64', 'b64', 'base64', 'text/plain'",
			},
		},
		"power_state": {"hostname: x\npower_state: {mode: poweroff}\n",
			[]string{"2:1: power_state belongs to bakery, which powers the machine off itself once it has cleaned " +
				"up and reported: remove it"}},
		"how to merge": {"merge_how: list(append)\nmerge_type: x\n", []string{
			"1:1: warning: merge_how is ignored: parts are merged while compiling, lists append, maps merge and a " +
				"later scalar wins",
			"2:1: warning: merge_type is ignored: parts are merged while compiling, lists append, maps merge and a " +
				"later scalar wins",
		}},

		"an unknown key and what was meant": {"run_cmd: [a]\n",
			[]string{`1:1: unknown key "run_cmd", which cloud-init would ignore: did you mean "runcmd"?`}},
		"a key of Amazon Linux": {"repo_upgrade: none\n",
			[]string{`1:1: warning: key "repo_upgrade" is not known to every version of cloud-init: one that does not ` +
				`know it ignores it`}},
		"an unknown key": {"my_own_thing: [a]\n",
			[]string{`1:1: unknown key "my_own_thing", which cloud-init would ignore`}},
		"an unknown key that others use": {"shared:\n  - &a curl\npackages: [*a]\n",
			[]string{`1:1: warning: unknown key "shared", which cloud-init ignores; only its anchors are used`}},
		"a key of some versions only": {"ubuntu-advantage: {}\n",
			[]string{`1:1: warning: key "ubuntu-advantage" is not known to every version of cloud-init: one that does ` +
				`not know it ignores it`}},
		"the network": {"network: {version: 2}\n",
			[]string{`1:1: cloud-init would ignore the key "network": cloud-init reads it from ` +
				`/etc/cloud/cloud.cfg.d and from the data source only: write a file there`}},
		"an unknown key deeper": {"write_files:\n  - path: /x\n    conten: y\n",
			[]string{`3:5: warning: write_files[0] has no key "conten" that cloud-init knows`}},
		"what is missing": {"write_files:\n  - content: y\n",
			[]string{"2:5: write_files[0] has no path, so cloud-init would leave it out"}},
		"a boolean that is meant as text": {"hostname: yes\n",
			[]string{"1:11: hostname is a boolean, but must be a text: quote it"}},
		"an unknown value": {"ntp: {ntp_client: x, enabled: 3, peers: 5.5}\n",
			[]string{"1:31: warning: ntp.enabled: got number, want boolean",
				"1:41: warning: ntp.peers: got number, want array"}},
		"the likely branch of many": {"users:\n  - default\n  - name: fred\n    uid: true\n    no: 1\n",
			[]string{`4:10: warning: users[1].uid: got boolean, want integer or string: quote it`,
				`5:5: warning: users[1] has no key "no" that cloud-init knows`}},
		"none of many": {"locale: [a]\n", []string{"1:9: warning: locale: got array, want boolean or string"}},
		"more than one of many": {"users: [7]\n",
			[]string{"1:9: warning: users[0]: not exactly one of the forms cloud-init knows"}},
		"too few": {"packages: [[jq]]\n",
			[]string{"1:12: warning: packages[0]: minItems: got 1, want 2"}},
		"a number out of range": {"ntp: {enabled: 0x10, pools: 2001-01-01}\n",
			[]string{"1:16: warning: ntp.enabled: got number, want boolean",
				"1:29: warning: ntp.pools: got string, want array"}},
		"a number with colons": {"timezone: 10:30\n",
			[]string{"1:11: warning: timezone: got number, want string: quote it"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, got := Parse("x.cfg", []byte(tt.content))
			if diff := cmp.Diff(tt.want, lines(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseRuncmdReports(t *testing.T) {
	for name, tt := range map[string]struct {
		content string
		want    []string
	}{
		"nothing about none": {"runcmd:\n", nil},
		"a runcmd that is no list": {"runcmd: echo hi\n",
			[]string{`1:9: runcmd is a text, but must be a list: begin each command with "- "`}},
		"a command made a mapping": {"runcmd:\n  - echo a: b\n",
			[]string{"2:5: runcmd[0] is a mapping, because of a colon followed by a blank: quote the whole command"}},
		"a command that is a number": {"runcmd:\n  - echo\n  - 5\n",
			[]string{"3:5: runcmd[1] is a number, but must be a text or a list of texts: quote it"}},
		"a command that is a date": {"runcmd:\n  - 2001-01-01\n  - yes\n",
			[]string{"2:5: runcmd[0] is a date, but must be a text or a list of texts: quote it",
				"3:5: runcmd[1] is a boolean, but must be a text or a list of texts: quote it"}},
		"words that are not text": {"runcmd:\n  - [a, [b]]\n  - [a, ~]\n  - [a, yes, 0644, 5, -5, 0, 1.5]\n", []string{
			"2:9: a word of runcmd[0] is a list, but must be a text",
			"3:9: a word of runcmd[1] is empty, but must be a text",
			"4:9: warning: a word of runcmd[2] is a boolean and is taken as written, yes: quote it",
			"4:14: warning: a word of runcmd[2] is a number and is taken as written, 0644: quote it",
			"4:30: warning: a word of runcmd[2] is a number and is taken as written, 1.5: quote it",
		}},
		"an empty list": {
			"runcmd:\n  - []\n", []string{"2:5: warning: runcmd[0] is an empty list, which runs nothing"},
		},
		"a power-off": {"runcmd:\n  - |\n    echo a\n    shutdown -h now\n  - [poweroff]\n  - reboot\n", []string{
			"4:5: warning: runcmd[0] " + shell.PowerOffAdvice, "5:5: warning: runcmd[1] " + shell.PowerOffAdvice,
		}},
		"NUL": {"runcmd:\n  - \"a\\0\"\n  - [\"\\0\"]\n",
			[]string{"2:5: runcmd[0] holds a NUL character, which no shell can read",
				"3:6: a word of runcmd[1] holds a NUL character, which no command can be given"}},

		"a fault in plain text": {"runcmd:\n  - echo é )\n",
			[]string{"2:12: runcmd[0]: a command can only contain words and redirects; encountered `)`"}},
		"a fault in quotes": {"runcmd:\n  - 'echo )'\n",
			[]string{"2:11: runcmd[0]: a command can only contain words and redirects; encountered `)`"}},
		"a fault behind an escape": {"runcmd:\n  - \"\\x65cho )\"\n",
			[]string{"2:5: runcmd[0]: a command can only contain words and redirects; encountered `)`"}},
		"a fault in a block": {"runcmd:\n  - |\n    echo\n      echo )\n",
			[]string{"4:12: runcmd[0]: a command can only contain words and redirects; encountered `)`"}},
		"a fault in a folded text": {"runcmd:\n  - >\n    echo\n    )\n",
			[]string{"2:5: runcmd[0]: a command can only contain words and redirects; encountered `)`"}},
		"a command over several items": {"runcmd:\n  - if true; then\n  - echo\n  - fi\n", []string{
			"2:14: runcmd[0]: `then` must be followed by a statement list; each item is a command of its own: " +
				"write what belongs together as one item with \"- |\"",
			"4:5: runcmd[2]: `fi` can only be used to end an `if`",
		}},
		"what only bash can": {"runcmd:\n  - a=(1 2)\n",
			[]string{"2:7: warning: runcmd[0]: arrays are a bash/mksh/zsh feature, and it runs under /bin/sh, " +
				"which is not bash everywhere"}},
		"a here document without its end": {"runcmd:\n  - |\n    cat <<EOF\n    x\n",
			[]string{"3:9: runcmd[0]: unclosed here-document `EOF`; each item is a command of its own: write what " +
				"belongs together as one item with \"- |\""}},
	} {
		t.Run(name, func(t *testing.T) {
			_, got := Parse("x.cfg", []byte(tt.content))
			if diff := cmp.Diff(tt.want, lines(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// A few lines can need any amount of memory, or of the machine's Python stack.
func TestParseLimits(t *testing.T) {
	laughs := "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c <= 'i'; c++ {
		laughs += strings.ReplaceAll("C: &C [*P,*P,*P,*P,*P,*P,*P,*P,*P,*P]\n", "C", string(c))
		laughs = strings.ReplaceAll(laughs, "P", string(c-1))
	}
	for name, tt := range map[string]struct{ content, want string }{
		"aliases of aliases": {laughs, "holds more than 100000 values once aliases are expanded"},
		"a long text many times": {
			"a: &a " + strings.Repeat("x", 1<<20) + "\nb: [" + strings.Repeat("*a,", 20) + "]\n",
			"holds more than 16 MiB of text once aliases are expanded",
		},
		"lists of lists": {"a: " + strings.Repeat("[", 200) + strings.Repeat("]", 200) + "\n",
			"nested more than 100 levels deep, which cloud-init cannot read"},
		"an open quote far up": {"a: 'x\n" + strings.Repeat("b: "+strings.Repeat("x", 1000)+"\n", 1000),
			"found unexpected end of stream"},
		"lists deeper than go-yaml": {"a: " + strings.Repeat("[", 20000), "exceeded max depth of 10000"},
	} {
		t.Run(name, func(t *testing.T) {
			doc, got := Parse("x.cfg", []byte(tt.content))
			if len(got) != 1 || !strings.Contains(got[0].Message, tt.want) {
				t.Errorf("got %.300s, want one problem: %s", lines(got), tt.want)
			}
			if len(doc.root.Content) != 0 {
				t.Errorf("half of the part was kept")
			}
		})
	}
}

func TestParseRuncmd(t *testing.T) {
	doc, problems := Parse("x.cfg", []byte("#cloud-config\nruncmd:\n  - echo a\n  -\n  - [echo, \"it's\", 5]\n  - "+
		"''\n  - |\n    for i in a; do\n      echo $i\n    done\n  - &c [a b, '']\n  - *c\n"))
	if problems != nil {
		t.Fatalf("problems: %v", problems)
	}
	want := []Command{
		{0, "echo a"},
		{2, `'echo' 'it'\''s' '5'`},
		{4, "for i in a; do\n  echo $i\ndone\n"},
		{5, "'a b' ''"},
		{6, "'a b' ''"},
	}
	if diff := cmp.Diff(want, doc.commands); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestParseWithOptions(t *testing.T) {
	const content = "hostname: 5\nrun_cmd: [a]\npower_state: {mode: reboot}\nmerge_how: list(append)\nntp: {a: }\n"
	doc, got := ParseWith("x.cfg", []byte(content), Options{Ignore: []string{"run_cmd", "ntp"}, UserData: true})
	want := []string{
		"1:11: hostname is a number, but must be a text: quote it",
		`2:1: warning: unknown key "run_cmd", which cloud-init would ignore: did you mean "runcmd"?`,
		"3:1: warning: power_state is left out: bakery powers the machine off itself once it has cleaned up and " +
			"reported",
		`5:7: warning: ntp has no key "a" that cloud-init knows`,
	}
	if diff := cmp.Diff(want, lines(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"hostname", "run_cmd", "ntp"}, doc.Keys()); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}

func TestMergeHow(t *testing.T) {
	for name, tt := range map[string]struct {
		content, header string
		want            MergeHow
		fails           bool
	}{
		"nothing": {content: "a: b"},
		"a text": {content: "merge_how: list(append)+dict(recurse_array)+str()", want: MergeHow{true,
			true, true}},
		"a header": {content: "a: b", header: "List(Append)+Dict(No-Replace,Recurse-List)",
			want: MergeHow{true, true, true}},
		"the part, not header": {content: "merge_type: dict(replace)", header: "list(append)",
			want: MergeHow{Given: true}},
		"a list": {content: "merge_how: [{name: list, settings: [append]}, {name: dict, settings: [recurse_list]}]",
			want: MergeHow{true, true, true}},
		"prepend":         {content: "merge_how: list(prepend)+dict(recurse_list)", want: MergeHow{true, false, true}},
		"no parentheses":  {content: "merge_how: append", fails: true},
		"another merger":  {content: "merge_how: set(append)", fails: true},
		"a number":        {content: "merge_how: 5", fails: true},
		"a list of texts": {content: "merge_how: [list]", fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			doc, _ := ParseWith("x.cfg", []byte(tt.content), Options{UserData: true})
			got, err := doc.MergeHow(tt.header)
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestKeysThatOnlyHoldAnchorsAreNotSent(t *testing.T) {
	doc, problems := Parse("a.cfg", []byte("#cloud-config\nx-common: &f {owner: 'a:b'}\nwrite_files:\n"+
		"- <<: *f\n  path: /a\n  content: b\n"))
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"write_files"}, doc.Keys()); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}
