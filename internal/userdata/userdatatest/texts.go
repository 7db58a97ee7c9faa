// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdatatest

import "strings"

const (
	plainScript = "#!/bin/sh\necho script >>/result\n"
	plainRuncmd = "#cloud-config\nruncmd:\n- echo runcmd >>/result\n"
	nothing     = "is nothing cloud-init reads, because it begins with"
)

// texts returns user data that is one part.
func texts() []Case {
	one := []string{"user data runcmd[0]"}
	return []Case{
		// What it begins with.
		{Name: "nothing", Content: "", Error: "the user data is empty"},
		{Name: "blank lines alone", Content: " \n\t\n\n", Error: "the user data is empty"},
		{Name: "a text", Content: "hello, world!\n", Error: nothing},
		{Name: "commands without a first line", Content: "apt-get update\napt-get install -y nginx\n", Error: nothing},
		{Name: "a cloud-config without a first line", Content: "packages:\n- nginx\n", Error: nothing},
		{Name: "JSON", Content: "{\"packages\": [\"nginx\"]}\n", Error: nothing},
		{Name: "a page of an error", Content: "<html><body>404</body></html>\n", Error: nothing},
		{Name: "PowerShell", Content: "<powershell>\nGet-Date\n</powershell>\n", Error: nothing},
		{Name: "a blank in the first line", Content: "# cloud-config\npackages: [nginx]\n",
			Error: "write #cloud-config"},
		{Name: "an underscore in the first line", Content: "#cloud_config\npackages: [nginx]\n",
			Error: "write #cloud-config"},
		{Name: "a first line without #", Content: "cloud-config\npackages: [nginx]\n", Error: nothing},
		{Name: "a first line in one word", Content: "#cloudconfig\npackages: [nginx]\n", Error: "write #cloud-config"},
		{Name: "a dash of typography", Content: "#cloud\u2013config\nruncmd: [date]\n", Error: nothing},
		{Name: "a comment before the first line", Content: "# for the web servers\n" + plainRuncmd,
			Error: "nothing may be before the first line"},
		{Name: "a license before the #! line", Content: "# Copyright\n#\n" + plainScript,
			Error: "nothing may be before the first line"},
		{Name: "three dashes before the first line", Content: "---\n" + plainRuncmd, Error: nothing},
		{Name: "a byte order mark before cloud-config", Content: "\ufeff" + plainRuncmd,
			Error: "begins with a byte order mark"},
		{Name: "a byte order mark before a script", Content: "\ufeff" + plainScript,
			Error: "begins with a byte order mark"},
		{Name: "a byte order mark before MIME", Content: "\ufeff" + mixed(typed(script, plainScript)),
			Error: "begins with a byte order mark"},
		{Name: "UTF-16", Content: "\xff\xfe#\x00!\x00/\x00b\x00i\x00n\x00", Error: nothing},
		{Name: "blank lines before cloud-config", Content: "\n\n  \n" + plainRuncmd, Steps: one, Left: "runcmd"},
		{Name: "blank lines before a script", Content: "\n" + plainScript, Error: "has a blank before its \"#!\""},
		{Name: "a blank before a script", Content: " " + plainScript, Error: "has a blank before its \"#!\""},
		{Name: "blank lines before a boothook", Content: "\n#cloud-boothook\n#!/bin/sh\ntrue\n",
			Error: "must be its first characters, in lower case"},
		{Name: "capitals in the first line", Content: "#Cloud-Config\nruncmd:\n- echo capitals >>/result\n", Steps: one,
			Left: "capitals"},
		{Name: "capitals in the first line of a boothook", Content: "#Cloud-Boothook\n#!/bin/sh\ntrue\n",
			Error: "must be its first characters, in lower case"},
		{Name: "more in the first line", Content: "#cloud-config for the web servers\nruncmd:\n- date\n", Steps: one},
		{Name: "a job for upstart", Content: "#upstart-job\nstart on startup\n", Error: "is a job for upstart"},
		{Name: "a binary", Content: "\x7fELF\x02\x01\x01\x00", Error: nothing},

		// Compression.
		{Name: "compressed twice", Content: gz(gz(plainScript)), Error: "is compressed twice"},
		{Name: "compressed and cut off", Content: gz(plainScript)[:30], Error: "decompress the user data"},
		{Name: "compressed, with something behind it", Content: gz(plainScript) + "more",
			Error: "decompress the user data"},
		{Name: "compressed, with a wrong sum", Content: flipped(gz(plainScript)), Error: "decompress the user data"},
		{Name: "nothing, compressed", Content: gz(""), Error: "the user data is empty"},
		{Name: "two members of gzip", Content: gz("#cloud-config\nruncmd:\n") + gz("- date\n"), Steps: one},
		{Name: "another compression", Content: "BZh91AY&SY", Error: nothing},
		{Name: "base64 of a text", Content: b64("hello, world!"), Error: nothing},
		{Name: "base64 in one line", Content: strings.ReplaceAll(b64(plainRuncmd), "\n", ""), Steps: one,
			Left: "runcmd"},
		{Name: "base64 with a mistake", Content: b64(plainRuncmd)[:20] + "!" + b64(plainRuncmd)[20:], Error: nothing},

		// Scripts.
		{Name: "a script of Python", Content: "#!/usr/bin/env python3\nopen('/result', 'w').write('python')\n",
			Steps: []string{"user data"}, Left: "python"},
		{Name: "a script with an option", Content: "#!/bin/sh -eu\necho option >/result\n",
			Steps: []string{"user data"},
			Left:  "option"},
		{Name: "a script without a new line at its end", Content: "#!/bin/sh\necho end >/result",
			Steps: []string{"user data"},
			Left:  "end"},
		{Name: "a script that is only #!", Content: "#!\n", Error: "does not begin with a \"#!\" line"},
		{Name: "a script with an open quote", Content: "#!/bin/bash\necho 'hi\n",
			Error: "reached EOF without closing quote"},
		{Name: "a script with half a line end", Content: "#!/bin/sh\nif true; then\r\necho\nfi\n",
			Error: "line ends of Windows"},
		{Name: "a script that mails", Left: "mail", Steps: []string{"user data"},
			Content: "#!/bin/sh\ncat <<'END' >/tmp/mail\nMIME-Version: 1.0\nContent-Type: text/html\n\n<p>hi\nEND\n" +
				"echo mail >>/result\n"},
		{Name: "a script that mails in other characters", Error: "a character is not ASCII",
			Content: "#!/bin/sh\nprintf 'MIME-Version: 1.0\\n\\n\u00e9' | sendmail a@example.com\n"},
		{Name: "a script in Latin-1", Content: "#!/bin/sh\necho '\xe9' >/result\n", Steps: []string{"user data"},
			Warning: "is not UTF-8"},
		{Name: "a script with an archive behind it", Content: "#!/bin/sh\necho archive >/result\nexit 0\n" + gz("x"),
			Steps: []string{"user data"}, Warning: "is not UTF-8", Left: "archive"},
		{Name: "a script with other characters", Content: "#!/bin/sh\necho \u00e9 >/result\n",
			Steps: []string{"user data"},
			Left:  "\u00e9"},

		// Boothooks.
		{Name: "a boothook without a script", Content: "#cloud-boothook\n",
			Error: "holds no script after #cloud-boothook"},
		{Name: "a boothook with blank lines in it", Content: "#cloud-boothook\n\n\n#!/bin/sh\necho blank >/result\n",
			Left: "blank"},
		{Name: "a boothook in one line", Content: "#cloud-boothook #!/bin/sh\necho one >/result\n", Left: "one"},
		{Name: "a boothook with a comment", Content: "#cloud-boothook\n# early\n#!/bin/sh\ntrue\n",
			Error: "does not begin with \"#!\""},
		{Name: "a boothook with a mistake", Content: "#cloud-boothook\n#!/bin/sh\nif\n",
			Error: "statement|followed by"},

		// Templates.
		{Name: "a template", Content: "## template: jinja\n#cloud-config\nruncmd:\n- echo {{ v1.distro }} >>/result\n",
			Warning: "a jinja template is rendered on the machine", Left: "debian"},
		{Name: "a template of a script", Content: "## template: jinja\n#!/bin/sh\necho {{ v1.distro }} >>/result\n",
			Warning: "a jinja template is rendered on the machine", Left: "debian"},
		{Name: "a template that begins with a statement", Warning: "a jinja template is rendered",
			Content: "## template: jinja\n{% set a = 'x' %}\n#cloud-config\nruncmd:\n- echo {{ a }}\n"},
		{Name: "a template in capitals", Content: "## Template: Jinja\n#cloud-config\nruncmd:\n- echo capitals " +
			">>/result\n",
			Steps: one, Left: "capitals"},
		{Name: "a template of nothing", Content: "## template: jinja\npackages: [{{ a }}]\n",
			Error: "cloud-init would ignore it"},
		{Name: "a template below a blank line", Content: "\n## template: jinja\n#cloud-config\nhostname: {{ a }}\n",
			Error: "must be its first line"},
		{Name: "a template of jinja2", Content: "## template: jinja2\n#cloud-config\nhostname: {{ a }}\n",
			Error: "must be its first line"},
		{Name: "a template without blanks", Content: "##template:jinja\n#cloud-config\nhostname: {{ a }}\n",
			Error: "write ## template: jinja"},
		{Name: "a template below cloud-config", Content: "#cloud-config\n## template: jinja\nhostname: {{ a }}\n",
			Error: "a key is a mapping|hostname is a mapping|read YAML"},
		{Name: "a template of an include", Content: "## template: jinja\n#include\nhttp://example.com/\n",
			Error: "cloud-init would ignore it"},

		// What the machine fetches or brings.
		{Name: "an include", Content: "#include\nhttp://example.com/a\n",
			Warning: "an include is fetched on the machine"},
		{Name: "an include in one line", Content: "#include http://example.com/a\n", Warning: "an include is fetched"},
		{Name: "an include, once", Content: "#include-once\nhttp://example.com/a\n", Warning: "an include is fetched"},
		{Name: "an include of nothing", Content: "#include\n# http://example.com/a\n",
			Error: "is an include without a URL"},
		{Name: "a part handler", Warning: "a part handler is Python",
			Content: "#part-handler\ndef list_types():\n  return ['text/x']\ndef handle_part(*a):\n  pass\n"},
		{Name: "a JSON patch", Content: "#cloud-config-jsonp\n[]\n", Warning: "a JSON patch is applied on the machine"},

		// Commands that belong together.
		{Name: "an if over several items", Steps: []string{"user data runcmd[0]", "user data runcmd[3]"}, Left: "if",
			Content: "#cloud-config\nruncmd:\n- if true; then\n- [sh, -c, 'echo if >>/result']\n- fi\n- date\n"},
		{Name: "a text over several items", Steps: []string{"user data runcmd[0]"}, Left: "text",
			Content: "#cloud-config\nruncmd:\n- cat <<END >>/result\n- text\n- END\n"},

		// Archives.
		{Name: "an archive of texts",
			Content: "#cloud-config-archive\n- |\n  #!/bin/sh\n  echo one >>/result\n- |\n  #cloud-config\n  " +
				"runcmd:\n  - echo two >>/result\n", Steps: []string{"user data part 1", "user data part 2 runcmd[0]"},
			Left: "one\ntwo"},
		{Name: "an archive without a first line in it", Content: "#cloud-config-archive\n- |\n  runcmd:\n  - date\n",
			Steps: []string{"user data part 1 runcmd[0]"}},
		{Name: "an archive with a name", Content: "#cloud-config-archive\n- filename: a.sh\n  content: |\n    " +
			"#!/bin/sh\n    date\n",
			Steps: []string{"user data part 1 (a.sh)"}},
		{Name: "an archive that is a mapping", Content: "#cloud-config-archive\ncontent: a\n",
			Error: "a cloud-config-archive is a list"},
		{Name: "an archive that is not YAML", Content: "#cloud-config-archive\n- 'a\n", Error: "read YAML"},
		{Name: "an archive of nothing", Content: "#cloud-config-archive\n[]\n", Error: "is an archive without parts"},
		{Name: "an archive of numbers", Content: "#cloud-config-archive\n- 5\n", Error: "an entry is a number"},
		{Name: "an archive of lists", Content: "#cloud-config-archive\n- [a]\n", Error: "an entry is a list"},
		{Name: "an archive with a misspelt key", Content: "#cloud-config-archive\n- contents: x\n",
			Error: `no key "contents" that cloud-init reads: did you mean "content"?`},
		{Name: "an archive without content", Content: "#cloud-config-archive\n- type: text/cloud-config\n",
			Error: "an entry has no content"},
		{Name: "an archive of an empty part", Content: "#cloud-config-archive\n- content: ''\n", Error: "is empty"},
		{Name: "an archive of a script without its type", Content: "#cloud-config-archive\n- type: text/plain\n  " +
			"content: |\n    #!/bin/sh\n    date\n", Error: "does not look at what a part of an archive begins with"},
		{Name: "an archive with a type that is none", Content: "#cloud-config-archive\n- type: cloud-config\n  " +
			"content: |\n    #cloud-config\n", Error: "no MIME type"},
		{Name: "an archive of an include", Content: "#cloud-config-archive\n- |\n  #include\n  http://example.com/\n",
			Error: "within a cloud-config-archive"},
		{Name: "an archive of an archive", Content: "#cloud-config-archive\n- |\n  #cloud-config-archive\n  - a\n",
			Error: "within a cloud-config-archive"},
		{Name: "an archive of gzip", Error: "does not know its type application/gzip|is gzip",
			Content: "#cloud-config-archive\n- type: application/gzip\n  content: !!binary " +
				strings.ReplaceAll(b64(gz(plainScript)), "\n", "") + "\n"},
		{Name: "an archive of a binary script", Steps: []string{"user data part 1"}, Left: "script",
			Content: "#cloud-config-archive\n- type: text/x-shellscript\n  content: !!binary " +
				strings.ReplaceAll(b64(plainScript), "\n", "") + "\n"},
		{Name: "an archive of a mapping", Content: "#cloud-config-archive\n- content: {runcmd: [date]}\n",
			Error: "the content of an entry is a mapping"},
		{Name: "an archive for another machine",
			Content: "#cloud-config-archive\n- launch-index: 1\n  content: |\n    " +
				"#!/bin/sh\n",
			Error: "is for the machine with launch index"},
		{Name: "an archive for the first machine", Content: "#cloud-config-archive\n- launch-index: 0\n  content: |\n" +
			"    #!/bin/sh\n    date\n", Steps: []string{"user data part 1"}},
		{Name: "an archive with a mistake in its second part", Content: "#cloud-config-archive\n- |\n  #!/bin/sh\n- " +
			"|\n  #cloud-config\n  hostname: a\n   locale: b\n", Error: "user-data:7:|user-data:6:"},
	}
}

// flipped changes a bit of the sum at the end of gzip.
func flipped(text string) string {
	at := len(text) - 8
	return text[:at] + string([]byte{text[at] ^ 1}) + text[at+1:]
}
