// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package userdatatest has user data, good and bad, with what is expected of each. The tests of internal/userdata check
// all of it without a machine, and those of internal/e2e bake some of it. It may not know how it is checked.
package userdatatest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// Case is one user data.
type Case struct {
	Name    string
	Content string
	// Error is what an error says. It is empty when the user data is good.
	Error string
	// Warning is what a warning says.
	Warning string
	// Steps are the names of the steps, in their order, for user data that is good.
	Steps []string
	// Left is the text of the file /result in the image, for user data that can be baked. A step appends to it.
	Left string
}

// All returns all user data.
func All() []Case { return slices.Concat(combined(), texts(), messages(), configs()) }

// base is the content of one part.
type base struct {
	name, kind, content string
	fails               string
	step, left          string
	wideCharacters      bool // it is not ASCII
}

const (
	script   = "text/x-shellscript"
	config   = "text/cloud-config"
	boothook = "text/cloud-boothook"
)

var bases = []base{
	{name: "a script", kind: script, content: "#!/bin/sh\necho script >>/result\n", step: "", left: "script"},
	{name: "a script of bash", kind: script, content: "#!/bin/bash\na=(x bash)\necho ${a[1]} >>/result\n",
		left: "bash"},
	{
		name: "runcmd", kind: config, content: "#cloud-config\nruncmd:\n  - a=runcmd\n  - echo $a >>/result\n",
		step: " runcmd[0]", left: "runcmd",
	},
	{
		name: "files", kind: config, left: "written",
		content: "#cloud-config\nwrite_files:\n- path: /result\n  content: |\n    written\n  permissions: '0644'\n",
	},
	{
		name: "bootcmd", kind: config, left: "bootcmd",
		content: "#cloud-config\nbootcmd:\n- [sh, -c, 'echo bootcmd >/result']\n",
	},
	{name: "a boothook", kind: boothook, content: "#cloud-boothook\n#!/bin/sh\necho hook >/result\n", left: "hook"},
	{
		name: "other characters", kind: config, content: "#cloud-config\nruncmd:\n- echo é日 >>/result # ü\n",
		step: " runcmd[0]",
		left: "é日", wideCharacters: true,
	},

	{
		name: "a blank too many", kind: config, content: "#cloud-config\npackages:\n  - curl\n - jq\nruncmd:\n  - " +
			"date\n",
		fails: "read YAML: did not find expected key",
	},
	{name: "a tab", kind: config, content: "#cloud-config\nruncmd:\n\t- date\n", fails: "indented with a tab"},
	{
		name: "a misspelt key", kind: config, content: "#cloud-config\nrun_cmd:\n  - date\n",
		fails: `unknown key "run_cmd", which cloud-init would ignore: did you mean "runcmd"?`,
	},
	{
		name: "a command with a colon", kind: config, content: "#cloud-config\nruncmd:\n  - echo a: b\n",
		fails: "runcmd[0] is a mapping, because of a colon followed by a blank",
	},
	{
		name: "a key twice", kind: config, content: "#cloud-config\nruncmd: [date]\nruncmd: [id]\n",
		fails: `key "runcmd" is here a second time`,
	},
	{
		name: "a mode without quotes", kind: config, fails: "permissions 644: the decimal number 644 is mode 1204",
		content: "#cloud-config\nwrite_files:\n- {path: /a, content: b, permissions: 644}\n",
	},
	{
		name: "a script with an open if", kind: script, content: "#!/bin/sh\nif true; then\necho\n",
		fails: "`if <cond>` must be followed by `then`|must end with|statement",
	},
	{
		name: "a boothook without #!", kind: boothook, content: "#cloud-boothook\necho hi\n",
		fails: `what follows #cloud-boothook does not begin with "#!"`,
	},
}

// form puts content into another form.
type form struct {
	name   string
	make   func(b base) string
	part   int    // the number of the part, when the form has several
	script string // the file name of a script, when the form gives it one
	eight  bool   // the content stays as it is, so that it must be ASCII in MIME
}

var forms = []form{
	{name: "as it is", make: func(b base) string { return b.content }},
	{name: "as gzip", make: func(b base) string { return gz(b.content) }},
	{name: "as base64", make: func(b base) string { return b64(b.content) }},
	{name: "as base64 of gzip", make: func(b base) string { return b64(gz(b.content)) }},
	{name: "with line ends of Windows", make: func(b base) string { return windows(b.content) }},
	{name: "as a message of one part", eight: true, make: func(b base) string {
		return "Content-Type: " + b.kind + "; charset=\"us-ascii\"\nMIME-Version: 1.0\n\n" + b.content
	}},
	{name: "as a part with its type", eight: true, part: 1, make: func(b base) string {
		return mixed(typed(b.kind, b.content))
	}},
	{name: "as a part of text/plain", eight: true, part: 1, make: func(b base) string {
		return mixed(typed("text/plain", b.content))
	}},
	{name: "as a part without headers", eight: true, part: 1, make: func(b base) string {
		return mixed("\n" + b.content)
	}},
	{name: "as an attachment", eight: true, part: 1, script: "a.sh", make: func(b base) string {
		return mixed("Content-Type: " + b.kind + "\nContent-Disposition: attachment;\n filename=\"a.sh\"\n\n" +
			b.content)
	}},
	{name: "as a part in base64", part: 1, make: func(b base) string { return mixed(inBase64(b.kind, b.content)) }},
	{name: "as a part in quoted-printable", part: 1, make: func(b base) string {
		return mixed("Content-Type: " + b.kind + "\nContent-Transfer-Encoding: quoted-printable\n\n" +
			quotedPrintable(b.content))
	}},
	{name: "as a part in gzip", eight: true, part: 1, make: func(b base) string {
		return mixed(inBase64("application/x-gzip", gz(b.content)))
	}},
	{name: "as a nested part", eight: true, part: 2, make: func(b base) string {
		return mixed(typed(script, "#!/bin/sh\ntrue\n"), nested("I", typed(b.kind, b.content)))
	}},
	{name: "as a message of Windows", eight: true, part: 1, make: func(b base) string {
		return windows(mixed(typed(b.kind, b.content)))
	}},
	{name: "as a message in gzip", eight: true, part: 1, make: func(b base) string {
		return gz(mixed(typed(b.kind, b.content)))
	}},
	{name: "as an entry of an archive", part: 1, make: func(b base) string { return archive("", b.content) }},
	{name: "as a typed entry of an archive", part: 1, make: func(b base) string { return archive(b.kind, b.content) }},
	{name: "as an archive in a part", eight: true, part: 1, make: func(b base) string {
		return mixed(typed("text/cloud-config-archive", archive(b.kind, b.content)))
	}},
	{name: "below a line of jinja", make: func(b base) string { return "## template: jinja\n" + b.content }},
}

// combined returns each content in each form.
func combined() []Case {
	var cases []Case
	for _, b := range bases {
		for _, f := range forms {
			c := Case{Name: b.name + " " + f.name, Content: f.make(b), Error: b.fails}
			title := "user data"
			if f.part > 0 {
				title = fmt.Sprintf("user data part %d", f.part)
			}
			switch {
			case b.wideCharacters && f.eight:
				c.Error = "a character is not ASCII, which cloud-init damages in MIME|characters that are not ASCII " +
					"when"
			case b.fails != "":
			case b.kind == script:
				c.Left = b.left
				if c.Steps = []string{title}; f.script != "" {
					c.Steps[0] += " (" + f.script + ")"
				}
			default:
				if c.Left = b.left; b.step != "" {
					c.Steps = stepsOf(b, title)
				}
			}
			if f.part == 2 && c.Error == "" { // the part before
				c.Steps = append([]string{"user data part 1"}, c.Steps...)
			}
			cases = append(cases, c)
		}
	}
	return cases
}

// stepsOf returns the names of the commands of a cloud-config.
func stepsOf(b base, title string) []string {
	steps := []string{title + " runcmd[0]"}
	if strings.Count(b.content, "\n  - ") > 1 {
		steps = append(steps, title+" runcmd[1]")
	}
	return steps
}

func gz(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text)) // a bytes.Buffer returns no error
	_ = w.Close()
	return b.String()
}

// b64 returns base64 in lines of 76 characters, as MIME and base64(1) do.
func b64(text string) string {
	var b strings.Builder
	for line := range slices.Chunk([]byte(base64.StdEncoding.EncodeToString([]byte(text))), 76) {
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.String()
}

func windows(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

// quotedPrintable escapes what is not a letter, a digit or a line end.
func quotedPrintable(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c == '\n' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// mixed returns a multipart of parts, each with its headers.
func mixed(parts ...string) string {
	return "Content-Type: multipart/mixed; boundary=\"==B==\"\nMIME-Version: 1.0\n\n--==B==\n" +
		strings.Join(parts, "\n--==B==\n") + "\n--==B==--\n"
}

// nested returns a multipart that is a part.
func nested(boundary string, parts ...string) string {
	return "Content-Type: multipart/mixed; boundary=" + boundary + "\n\n--" + boundary + "\n" +
		strings.Join(parts, "\n--"+boundary+"\n") + "\n--" + boundary + "--\n"
}

func typed(kind, content string) string {
	return "Content-Type: " + kind + "\nMIME-Version: 1.0\n\n" + content
}

func inBase64(kind, content string) string {
	return "Content-Type: " + kind + "\nMIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n" + b64(content)
}

// archive returns a cloud-config-archive with one entry.
func archive(kind, content string) string {
	text := "#cloud-config-archive\n- content: |\n    " +
		strings.ReplaceAll(strings.TrimSuffix(content, "\n"), "\n", "\n    ") + "\n"
	if kind != "" {
		text += "  type: " + kind + "\n"
	}
	return text
}
