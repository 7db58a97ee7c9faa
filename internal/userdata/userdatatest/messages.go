// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdatatest

import "strings"

// messages returns user data that is MIME, or nearly.
func messages() []Case {
	const (
		head    = "Content-Type: multipart/mixed; boundary=\"B\"\nMIME-Version: 1.0\n\n"
		twoPart = "--B\nContent-Type: text/cloud-config\n\n" + plainRuncmd +
			"--B\nContent-Type: text/x-shellscript\n\n" +
			plainScript
	)
	// A script without a name is the file part-002, which is before the file runcmd.
	both := []string{"user data part 2", "user data part 1 runcmd[0]"}
	second := []string{"user data part 2"}
	return []Case{
		{Name: "two parts", Content: head + twoPart + "--B--\n", Steps: both, Left: "script\nruncmd"},
		{Name: "two parts without an end", Content: head + twoPart, Steps: both, Left: "script\nruncmd",
			Warning: "is missing"},
		{Name: "two parts with the usual preamble", Content: strings.Replace(head, "\n\n",
			"\n\nThis is a multi-part message in MIME format.\n", 1) + twoPart + "--B--\n", Steps: both},
		{Name: "two parts and a blank line at the end", Content: head + twoPart + "--B--\n\n\n", Steps: both},
		{Name: "two parts and a word at the end", Content: head + twoPart + "--B--\nbye\n", Steps: both,
			Warning: "after the end of the multipart is ignored"},
		{Name: "capitals in the headers", Steps: both,
			Content: "CONTENT-TYPE: Multipart/Mixed; BOUNDARY=B\nmime-version: 1.0\n\n" + twoPart + "--B--\n"},
		{Name: "a boundary with blanks after it", Steps: both,
			Content: head + strings.ReplaceAll(twoPart, "--B\n", "--B  \n") + "--B--  \n"},
		{Name: "a header on two lines", Steps: both,
			Content: "MIME-Version: 1.0\nContent-Type: multipart/mixed;\n\tboundary=\"B\"\n\n" + twoPart + "--B--\n"},
		{Name: "a mail", Steps: both, Content: "From nobody Mon Jan  1 00:00:00 2024\nSubject: user data\n" + head +
			twoPart + "--B--\n"},
		{Name: "Number-Attachments", Steps: both, Content: "Number-Attachments: 2\n" + head + twoPart + "--B--\n"},
		{Name: "multipart/alternative", Steps: both,
			Content: strings.Replace(head, "mixed", "alternative", 1) + twoPart + "--B--\n"},
		{Name: "parts in three levels", Steps: []string{"user data part 1", "user data part 2"}, Left: "script\nagain",
			Content: mixed(nested("I", nested("J", typed(script, plainScript)), typed(script,
				"#!/bin/sh\necho again >>/result\n")))},
		{Name: "parts in twelve levels", Error: "nested more than 10 levels deep", Content: "MIME-Version: 1.0\n" +
			deep(12)},

		{Name: "no MIME-Version", Content: strings.Replace(head, "MIME-Version: 1.0\n", "", 1) + twoPart + "--B--\n",
			Error: "needs a header \"MIME-Version: 1.0\""},
		{Name: "MIME-Version misspelt", Content: strings.Replace(head, "MIME-Version", "Mime Version", 1) + twoPart +
			"--B--\n",
			Error: "needs a header \"MIME-Version: 1.0\""},
		{Name: "a blank line before the headers", Content: "\n" + head + twoPart + "--B--\n", Error: nothing},
		{Name: "headers without a blank line after them", Steps: both,
			Content: strings.Replace(head, "\n\n", "\n", 1) + twoPart + "--B--\n"},
		{Name: "no boundary", Content: "Content-Type: multipart/mixed\nMIME-Version: 1.0\n\n" + twoPart + "--B--\n",
			Error: "has no boundary in its Content-Type"},
		{Name: "another boundary", Content: strings.Replace(head, "\"B\"", "\"A\"", 1) + twoPart + "--B--\n",
			Error: "no line is \"--A\""},
		{Name: "a boundary in other capitals", Content: strings.Replace(head, "\"B\"", "\"b\"", 1) + twoPart +
			"--B--\n",
			Error: "no line is \"--b\""},
		{Name: "a boundary with a dash less", Content: head + strings.ReplaceAll(twoPart, "--B\n", "-B\n") + "-B--\n",
			Error: "no line is \"--B\""},
		{Name: "a boundary that is indented", Content: head + strings.ReplaceAll(twoPart, "--B\n", "  --B\n") +
			"  --B--\n",
			Error: "no line is \"--B\""},
		{Name: "another boundary before the second part", Error: "the beginning of another part is in its content",
			Content: head + strings.Replace(twoPart, "--B\nContent-Type: text/x", "--C\nContent-Type: text/x", 1) +
				"--B--\n"},
		{Name: "the end before the second part", Error: "after the end of the multipart",
			Content: head + strings.Replace(twoPart, "--B\nContent-Type: text/x", "--B--\n--B\nContent-Type: text/x",
				1) + "--B--\n"},
		{Name: "a script after the end", Content: head + twoPart + "--B--\n" + plainScript,
			Error: "after the end of the multipart"},
		{Name: "a cloud-config after the end", Content: head + twoPart + "--B--\n\n" + plainRuncmd,
			Error: "after the end of the multipart"},
		{Name: "a script before the first part", Content: head + plainScript + twoPart + "--B--\n",
			Error: "before the first part"},
		{Name: "a part's headers before the first boundary", Error: "before the first part",
			Content: head + "Content-Type: text/x-shellscript\n\n" + plainScript + twoPart + "--B--\n"},
		{Name: "no parts", Content: head + "--B--\n", Error: "no line is \"--B\""},

		{Name: "a misspelt type", Content: mixed(typed("text/cloud-confg", plainRuncmd)),
			Error: "does not know its type text/cloud-confg: did you mean text/cloud-config?"},
		{Name: "an underscore in a type", Content: mixed(typed("text/cloud_config", plainRuncmd)),
			Error: "did you mean text/cloud-config?"},
		{Name: "another name of a script's type", Content: mixed(typed("text/x-sh", plainScript)),
			Error: "does not know its type text/x-sh"},
		{Name: "application/x-sh", Content: mixed(typed("application/x-sh", plainScript)),
			Error: "does not know its type"},
		{Name: "application/octet-stream", Content: mixed(inBase64("application/octet-stream", plainScript)),
			Error: "does not know its type"},
		{Name: "text/yaml", Content: mixed(typed("text/yaml", plainRuncmd)), Error: "does not know its type"},
		{Name: "text/html", Content: mixed(typed("text/html", "<p>")), Error: "does not know its type"},
		{Name: "a part that is a message", Content: mixed(typed("message/rfc822", typed(script, plainScript))),
			Error: "a message within a message"},
		{Name: "text/x-not-multipart", Content: mixed(typed("text/x-not-multipart", plainScript)),
			Steps: []string{"user data part 1"}},
		{Name: "text/x-not-multipart of nothing known", Content: mixed(typed("text/x-not-multipart", "date\n")),
			Error: "is ignored by cloud-init"},
		{Name: "text/plain of nothing known", Content: mixed(typed("text/plain", "date\n")),
			Error: "is ignored by cloud-init"},
		{Name: "a part without a type and first line", Content: mixed("\ndate\n"), Error: "is ignored by cloud-init"},
		{Name: "a type that is none", Content: mixed(typed("cloud-config", plainRuncmd)),
			Steps: []string{"user data part 1 runcmd[0]"}},
		{Name: "a type that is none, of nothing known", Content: mixed(typed("cloud-config", "runcmd: [date]\n")),
			Error: "is ignored by cloud-init"},
		{Name: "a cloud-config without its first line", Content: mixed(typed(config,
			"runcmd:\n- echo typed >>/result\n")),
			Steps: []string{"user data part 1 runcmd[0]"}, Left: "typed"},
		{Name: "a boothook without its first line", Content: mixed(typed(boothook, "#!/bin/sh\necho hook >/result\n")),
			Left: "hook"},
		{Name: "a boothook without any first line", Content: mixed(typed(boothook, "date\n")),
			Error: "does not begin with a \"#!\" line"},
		{Name: "a script without its first line", Content: mixed(typed(script, "date\n")),
			Error: "does not begin with a \"#!\" line"},
		{Name: "a script below a blank line", Content: mixed(typed(script, "\n"+plainScript)),
			Error: "has a blank before its \"#!\""},
		{Name: "a cloud-config that is typed as a script", Content: mixed(typed(script, plainRuncmd)), Left: "runcmd",
			Steps: []string{"user data part 1 runcmd[0]"}, Warning: "its Content-Type is text/x-shellscript, but it " +
				"begins with"},
		{Name: "a script that is typed as a cloud-config", Content: mixed(typed(config, plainScript)),
			Error: "top level is a text|read YAML"},
		{Name: "an archive that is typed as a cloud-config", Content: mixed(typed(config,
			"#cloud-config-archive\n- a\n")),
			Error: "top level is a list"},
		{Name: "a byte order mark in a cloud-config", Content: mixed(inBase64(config, "\ufeff"+plainRuncmd)),
			Steps: []string{"user data part 1 runcmd[0]"}, Left: "runcmd"},
		{Name: "a byte order mark in a script", Content: mixed(inBase64(script, "\ufeff"+plainScript)),
			Error: "byte order mark"},

		{Name: "an empty part", Content: mixed(typed(script, plainScript), typed(config, "")),
			Error: "part 2: is empty"},
		{Name: "a part of blank lines", Content: mixed(typed(config, "\n\n"), typed(script, plainScript)),
			Error: "part 1: is empty"},
		{Name: "nothing between two boundaries", Content: head + "--B\n" + twoPart + "--B--\n", Steps: both},
		{Name: "a key instead of a blank line", Error: "is read as a header of MIME and not as a key",
			Content: mixed("Content-Type: text/cloud-config\npackages:\n  - nginx\n\nruncmd:\n- date\n")},
		{Name: "a first line instead of a blank line", Content: mixed("Content-Type: text/cloud-config\n" +
			plainRuncmd),
			Steps: []string{"user data part 1 runcmd[0]"}},
		{Name: "a header without a colon", Content: mixed("Content-Type text/cloud-config\n\n" + plainRuncmd),
			Error: "is ignored by cloud-init"},

		{Name: "an encoding that is none", Error: "Content-Transfer-Encoding that cloud-init does not know",
			Content: mixed(strings.Replace(inBase64(script, plainScript), "base64", "base-64", 1))},
		{Name: "a blank after the encoding", Error: "Content-Transfer-Encoding that cloud-init does not know",
			Content: mixed(strings.Replace(inBase64(script, plainScript), "base64\n", "base64 \n", 1))},
		{Name: "uuencode", Content: mixed("Content-Type: text/x-shellscript\nContent-Transfer-Encoding: x-uuencode\n" +
			"\nbegin\n"),
			Error: "Content-Transfer-Encoding that cloud-init does not know"},
		{Name: "an encoding in capitals", Content: mixed(strings.Replace(inBase64(script, plainScript), "base64",
			"BASE64", 1)),
			Steps: []string{"user data part 1"}, Left: "script"},
		{Name: "base64 that is none", Content: mixed(strings.Replace(typed(script, plainScript), "\n\n",
			"\nContent-Transfer-Encoding: base64\n\n", 1)), Error: "is not base64, as its Content-Transfer-Encoding " +
			"says"},
		{Name: "base64 that is cut off", Content: mixed(inBase64(script, plainScript)[:95]),
			Error: "is not base64|cut|must|reached|is empty"},
		{Name: "base64 without its =", Steps: []string{"user data part 1"},
			Content: mixed(strings.TrimRight(inBase64(script, "#!/bin/sh\ndate"), "=\n"))},
		{Name: "base64 and no encoding said", Content: mixed(typed(script, b64(plainScript))),
			Error: "does not begin with a \"#!\" line"},
		{Name: "quoted-printable with soft ends of lines", Steps: []string{"user data part 1"}, Left: "one two",
			Content: mixed("Content-Type: text/x-shellscript\nContent-Transfer-Encoding: " +
				"quoted-printable\n\n#!/bin/sh\necho one =\ntwo >>/result\n")},
		{Name: "8bit", Content: mixed("Content-Type: text/x-shellscript\nContent-Transfer-Encoding: 8bit\n\n" +
			"#!/bin/sh\n# \u00e9\n"),
			Error: "part 1: a character is not ASCII"},
		{Name: "UTF-8 in base64", Content: mixed(inBase64(script, "#!/bin/sh\necho \u00e9 >>/result\n")),
			Left:  "\u00e9",
			Steps: []string{"user data part 1"}},
		{Name: "Latin-1 in base64", Content: mixed(inBase64(config, "#cloud-config\nhostname: \xe9\n")),
			Error: "is not UTF-8"},
		{Name: "UTF-16 in base64", Content: mixed(inBase64(config, "\xff\xfe#\x00c\x00")), Error: "is not UTF-8"},

		{Name: "gzip that is none", Content: mixed(inBase64("application/gzip", plainScript)),
			Error: "cannot be decompressed"},
		{Name: "gzip that is cut off", Content: mixed(inBase64("application/gzip", gz(plainScript)[:30])),
			Error: "cannot be decompressed"},
		{Name: "gzip with the type of its content", Content: mixed(inBase64(config, gz(plainRuncmd))),
			Error: "is gzip, but its Content-Type is text/cloud-config"},
		{Name: "gzip of nothing known", Content: mixed(inBase64("application/gzip", gz("date\n"))),
			Error: "is ignored by cloud-init"},
		{Name: "gzip of MIME", Content: mixed(inBase64("application/gzip", gz(mixed(typed(script, plainScript))))),
			Error: "is ignored by cloud-init"},
		{Name: "gzip of an include", Content: mixed(inBase64("application/gzip",
			gz("#include\nhttp://example.com/\n"))),
			Warning: "an include is fetched"},
		{Name: "MIME as a part", Content: mixed(typed("text/plain", mixed(typed(script, plainScript)))), Error: "part"},

		{Name: "Terraform's message", Steps: []string{"user data part 2 (b.sh)", "user data part 1 runcmd[0]"},
			Left: "script\nruncmd",
			Content: "Content-Type: multipart/mixed; boundary=\"MIMEBOUNDARY\"\nMIME-Version: 1.0\r\n\r\n" +
				"--MIMEBOUNDARY\r\n" +
				"Content-Transfer-Encoding: 7bit\r\nContent-Type: text/cloud-config\r\nMime-Version: 1.0\r\n\r\n" +
				plainRuncmd +
				"\r\n--MIMEBOUNDARY\r\nContent-Disposition: attachment; " +
				"filename=\"b.sh\"\r\nContent-Transfer-Encoding: 7bit\r\nContent-Type: " +
				"text/x-shellscript\r\nMime-Version: 1.0\r\n\r\n" + plainScript +
				"\r\n--MIMEBOUNDARY--\r\n"},
		{Name: "two templates of one name", Error: "has the file name a.sh, as part 1",
			Content: mixed(named("text/jinja2", "a.sh", "## template: jinja\n#!/bin/sh\n{{ a }}\n"),
				named("text/jinja2", "a.sh", "## template: jinja\n#!/bin/sh\n{{ b }}\n"))},
		{Name: "a type with a blank in it", Content: mixed(typed("text/cloud config", plainRuncmd)),
			Error: "is no MIME type"},
		{Name: "two scripts of one name", Error: "has the file name a.sh, as part 1",
			Content: mixed(named(script, "a.sh", plainScript), named(script, "a.sh", plainScript))},
		{Name: "two scripts of nearly one name", Error: "has the file name a_b.sh, as part 1",
			Content: mixed(named(script, "a/b.sh", plainScript), named(script, "a_b.sh", plainScript))},
		{Name: "a script with a name of other characters", Error: "has a file name that cloud-init cannot write",
			Content: mixed(named(script, "?", plainScript))},
		{Name: "a script with the name of runcmd", Error: "cloud-init would write the commands of runcmd over it",
			Content: mixed(named(script, "runcmd", plainScript), typed(config, plainRuncmd))},
		{Name: "a script with the name of runcmd alone", Content: mixed(named(script, "runcmd", plainScript)),
			Steps: []string{"user data part 1 (runcmd)"}},
		{Name: "scripts that are sorted by their names", Left: "one\nruncmd\ntwo\nthree",
			Steps: []string{"user data part 4 (a.sh)", "user data part 3 runcmd[0]", "user data part 2 (x.sh)",
				"user data part 1 (y.sh)"},
			Content: mixed(named(script, "y.sh", "#!/bin/sh\necho three >>/result\n"), named(script, "x.sh",
				"#!/bin/sh\necho two >>/result\n"),
				typed(config, plainRuncmd), named(script, "a.sh", "#!/bin/sh\necho one >>/result\n"))},
		{Name: "two cloud-configs of one name", Steps: []string{"user data part 1 runcmd[0]",
			"user data part 2 runcmd[0]"},
			Content: mixed(named(config, "a", "runcmd: [date]\n"), named(config, "a", "runcmd: [id]\n")),
			Warning: "runcmd is in part 1 too"},

		{Name: "a part for another machine", Content: mixed("Launch-Index: 1\n"+typed(script, plainScript),
			typed(script, "#!/bin/sh\n")),
			Error: "is for the machine with launch index"},
		{Name: "a part for the first machine", Content: mixed("Launch-Index: 0\n" + typed(script, plainScript)),
			Steps: []string{"user data part 1"}},
		{Name: "a part for a machine without number", Content: mixed("Launch-Index: x\n" + typed(script, plainScript)),
			Error: "is for the machine with launch index"},
		{Name: "a cloud-config for another machine", Content: mixed(typed(config,
			"#cloud-config\nlaunch-index: 2\nruncmd: [date]\n")),
			Error: "is for the machine with launch index"},

		{Name: "parts that are merged as one says", Left: "one\ntwo", Steps: []string{"user data part 1 runcmd[0]",
			"user data part 2 runcmd[0]"},
			Content: mixed(typed(config, "runcmd: ['echo one >>/result']\n"),
				"Merge-Type: list(append)+dict(recurse_array)+str()\n"+typed(config,
					"runcmd: ['echo two >>/result']\n"))},
		{Name: "a part that replaces", Steps: []string{"user data part 2 runcmd[0]"}, Left: "two",
			Warning: "runcmd replaces that of part 1",
			Content: mixed(typed(config, "runcmd: ['echo one >>/result']\n"),
				"X-Merge-Type: dict(replace)+list()+str()\n"+typed(config, "runcmd: ['echo two >>/result']\n"))},
		{Name: "a part that is merged in front", Error: "cannot be followed",
			Content: mixed(typed(config, "runcmd: [a]\n"), typed(config,
				"runcmd: [b]\nmerge_how: list(prepend)+dict(recurse_list)\n"))},
		{Name: "a Merge-Type that is none", Content: mixed("Merge-Type: append\n" + typed(config, "runcmd: [date]\n")),
			Error: "is nothing cloud-init understands"},
		{Name: "a value that should stay", Error: "says that the earlier value stays",
			Content: mixed(typed(config, "hostname: a\n"),
				typed(config, "hostname: b\nmerge_how: list(append)+dict(recurse_list)+str()\n"))},
		{Name: "a value that is set again", Content: mixed(typed(config, "hostname: a\n"), typed(config,
			"hostname: b\n")),
			Warning: "hostname is set again and wins over"},

		{Name: "a template in a part", Content: mixed(typed("text/jinja2",
			"## template: jinja\n#cloud-config\nruncmd:\n- echo {{ v1.region }}\n"),
			typed(script, plainScript)), Warning: "part 1: a jinja template", Steps: second, Left: "script"},
		{Name: "a template that is typed as cloud-config", Error: "is a jinja template, but its Content-Type is " +
			"text/cloud-config",
			Content: mixed(typed(config, "## template: jinja\n#cloud-config\nhostname: x-{{ v1.region }}\n"))},
		{Name: "a line of jinja in a cloud-config", Content: mixed(typed(config, "## template: jinja\n"+plainRuncmd)),
			Steps: []string{"user data part 1 runcmd[0]"}, Left: "runcmd"},
		{Name: "text/jinja2 without a template", Content: mixed(typed("text/jinja2", plainRuncmd)),
			Error: "cloud-init would not render it"},
		{Name: "a template with a key of another part", Error: "cloud-init uses only one of them",
			Content: mixed(typed(config, "packages: [a]\n"), typed("text/jinja2",
				"## template: jinja\n#cloud-config\npackages: [{{ v1.region }}]\n"))},
		{Name: "an include in a part", Content: mixed(typed("text/x-include-url", "http://example.com/\n"),
			typed(script, plainScript)),
			Steps: second, Warning: "part 1: an include is fetched"},
		{Name: "a handler and its part", Content: mixed(typed("text/part-handler",
			"def list_types(): return ['text/x']\n"), typed("text/x", "a\n"),
			typed(script, plainScript)), Steps: []string{"user data part 3"},
			Warning: "part 2: its type text/x is none of cloud-init's"},
		{Name: "a handler after its part", Error: "does not know its type text/x",
			Content: mixed(typed("text/x", "a\n"), typed("text/part-handler",
				"def list_types(): return ['text/x']\n"))},
		{Name: "a script for each boot", Content: mixed(typed("text/x-shellscript-per-boot", plainScript)),
			Warning: "runs again on later boots, or on each machine"},
		{Name: "a script for each instance", Content: mixed(typed("text/x-shellscript-per-instance", plainScript)),
			Warning: "is run by cloud-init"},
		{Name: "a script for once", Content: mixed(typed("text/x-shellscript-per-once", plainScript)),
			Warning: "is run by cloud-init"},
		{Name: "a script for each boot with a mistake", Content: mixed(typed("text/x-shellscript-per-boot",
			"#!/bin/sh\nif\n")),
			Error: "statement|followed by"},
		{Name: "a message of one part without multipart", Content: "MIME-Version: 1.0\n\n" + plainScript,
			Steps: []string{"user data"}, Left: "script"},
		{Name: "a message of one part of an unknown type", Content: "MIME-Version: 1.0\nContent-Type: text/x-sh\n\n" +
			plainScript,
			Error: "does not know its type text/x-sh"},
		{Name: "all mistakes at once", Error: "part 4, c.sh: ", Content: mixed(typed(config, "hostname: 5\n"),
			typed("text/y", "a"), typed(config, ""),
			named(script, "c.sh", " #!/bin/sh\n"))},
	}
}

func named(kind, name, content string) string {
	return "Content-Disposition: attachment; filename=\"" + name + "\"\n" + typed(kind, content)
}

// deep returns a multipart in a multipart in a multipart.
func deep(levels int) string {
	if levels == 0 {
		return typed(script, plainScript)
	}
	return nested("L"+strings.Repeat("x", levels), deep(levels-1))
}
