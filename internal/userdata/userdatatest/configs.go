// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdatatest

import "strings"

// configs returns cloud-configs, good and bad.
func configs() []Case {
	good := map[string]string{
		"a mode without its quotes": "write_files:\n- {path: /a, content: b, permissions: 0755}\n",
		"a header alone":            "",
		"packages":                  "packages:\n- nginx\n- [jq, '1.6']\n",
		"packages in one line":      "packages: nginx\n",
		"packages of a manager":     "packages:\n- apt: [nginx]\n- snap: [[yq, '--classic']]\n",
		"users": "users:\n- default\n- name: a\n  sudo: ALL=(ALL) NOPASSWD:ALL\n  " +
			"ssh_authorized_keys: [ssh-rsa AAAA]\n",
		"users in one line":             "users: a, b\n",
		"groups":                        "groups:\n- admins: [root]\n- users\n",
		"the old name of ubuntu_pro":    "ubuntu_advantage: {token: a}\n",
		"the oldest name of ubuntu_pro": "ubuntu-advantage: {token: a}\n",
		"ca-certs":                      "ca-certs: {trusted: [a]}\n",
		"apt of the first kind":         "apt_sources:\n- source: ppa:a/b\n",
		"the keys of /etc/cloud": "datasource_list: [Ec2]\nsystem_info: {default_user: {name: a}}\noutput: " +
			"{all: '| tee -a /var/log/a'}\n",
		"modules":                   "cloud_final_modules: [scripts-user]\n",
		"YAML 1.1":                  "package_update: yes\npackage_upgrade: on\n",
		"a key of several versions": "rpi: {interfaces: {spi: true}}\n",
		"anchors":                   "common: &a [curl]\npackages: *a\n",
		"a merge key": "write_files:\n- &a {path: /a, content: x, permissions: '0600'}\n- {<<: " +
			"*a, path: /b}\n",
		"base64": "write_files:\n- {path: /a, encoding: b64, content: aGVsbG8=}\n",
		"gzip": "write_files:\n- path: /a\n  encoding: gz+b64\n  content: " +
			strings.ReplaceAll(b64(gz("a")), "\n", "") + "\n",
		"binary":                         "write_files:\n- {path: /a, content: !!binary aGVsbG8=}\n",
		"a file without content":         "write_files:\n- {path: /a}\n",
		"bootcmd over several items":     "bootcmd:\n- if true; then\n- date\n- fi\n",
		"a mount":                        "mounts:\n- [/dev/xvdf, /data, auto, 'defaults,nofail', '0', '2']\n",
		"swap":                           "swap: {filename: /swap, size: auto}\n",
		"modules that are off":           "swap: false\ngrowpart: off\n",
		"ntp without anything":           "ntp:\n",
		"ntp":                            "ntp: {enabled: true, servers: [a.example]}\n",
		"power_state":                    "power_state: {mode: poweroff}\nhostname: a\n",
		"rsyslog of the old kind":        "rsyslog: ['*.* @a']\n",
		"resize_rootfs":                  "resize_rootfs: noblock\ngrowpart: {mode: auto}\n",
		"yum_repos":                      "yum_repos: {a: {baseurl: 'http://a.example', enabled: true}}\n",
		"a vendor's switch":              "vendor_data: {enabled: false}\n",
		"final_message":                  "final_message: |\n  done\n  after $UPTIME\n",
		"a comment at the end":           "hostname: a\n# end\n",
		"the end of a document":          "hostname: a\n...\n",
		"the beginning of a document":    "---\nhostname: a\n",
		"JSON":                           "{\"hostname\": \"a\", \"packages\": [\"b\"]}\n",
		"a hostname of digits in quotes": "hostname: '5'\n",
		"ssh_import_id in one line":      "ssh_import_id: gh:a\n",
		"chpasswd":                       "chpasswd: {expire: false, users: [{name: a, password: b, type: text}]}\n",
		"Launch-Index of this machine":   "launch-index: 0\nhostname: a\n",
	}
	bad := map[string][2]string{
		"a list":                 {"- packages\n", "top level is a list"},
		"a text as cloud-config": {"packages\n", "top level is a text"},
		"two documents":          {"hostname: a\n---\nhostname: b\n", "a second YAML document"},
		"an open quote":          {"hostname: 'a\n", "read YAML"},
		"an open bracket":        {"packages: [a\n", "read YAML"},
		"a colon in a value":     {"final_message: done: yes\n", "read YAML"},
		"a percent sign":         {"hostname: %a\n", "read YAML"},
		"an at sign":             {"hostname: @a\n", "read YAML"},
		"a backtick":             {"hostname: `a`\n", "read YAML"},
		"a tag of another tool":  {"hostname: !Sub a\n", "tag !Sub is not known to cloud-init"},
		"an unknown anchor":      {"packages: *a\n", "unknown anchor"},
		"a control character":    {"hostname: a\x01\n", "control character U+0001"},
		"Latin-1":                {"hostname: \xe9\n", "is not UTF-8"},
		"an alias in itself":     {"packages: &a [*a]\n", "inside of what it stands for"},
		"a bomb of aliases":      {bomb(), "once aliases are expanded"},
		"a tree too deep": {"hostname: " + strings.Repeat("[", 200) + strings.Repeat("]",
			200) + "\n", "levels deep"},
		"template marks": {"hostname: {{ a }}\n",
			"a key is a mapping|hostname is a mapping|read YAML"},
		"a key of an older tool":       {"commands: [date]\n", `unknown key "commands"`},
		"a dash in a key":              {"write-files: []\n", `did you mean "write_files"?`},
		"one letter of a key":          {"package: [a]\n", `did you mean "packages"?`},
		"capitals in a key":            {"Packages: [a]\n", `unknown key "Packages"`},
		"a blank before a key's colon": {"run cmd: [date]\n", `unknown key "run cmd"`},
		"the name of a module":         {"users_groups: [a]\n", "its keys are users and groups"},
		"the network": {"network: {version: 2}\n",
			`cloud-init would ignore the key "network"`},
		"a key of Docker":                            {"services: {a: b}\n", `unknown key "services"`},
		"a number as a key":                          {"5: a\n", `unknown key "5"`},
		"an empty key":                               {": a\n", "read YAML"},
		"a key as deep as another":                   {"write_files:\npath: /a\ncontent: b\n", `unknown key "path"`},
		"a runcmd that is a text":                    {"runcmd: date\n", "runcmd is a text, but must be a list"},
		"a runcmd that is a mapping":                 {"runcmd: {a: b}\n", "runcmd is a mapping, but must be a list"},
		"a command that is a number":                 {"runcmd: [5]\n", "runcmd[0] is a number"},
		"a command that is true":                     {"runcmd: [true]\n", "runcmd[0] is a boolean"},
		"a command with a mistake":                   {"runcmd:\n- date )\n", "runcmd[0]: "},
		"an if over several items that no item ends": {"runcmd:\n- if true; then\n- date\n", "runcmd[0]: "},
		"an if over several items with a mistake":    {"runcmd:\n- if true; then\n- date )\n- fi\n", "runcmd[0]: "},
		"a command with an open quote":               {"runcmd:\n- echo \"a\n", "read YAML|reached EOF"},
		"a mapping in a command": {"runcmd:\n- [echo, {a: b}]\n",
			"a word of runcmd[0] is a mapping"},
		"a bootcmd that is a text": {"bootcmd: date\n", "bootcmd is a text, but must be a list"},
		"a bootcmd with a colon":   {"bootcmd:\n- echo a: b\n", "bootcmd[0] is a mapping"},
		"a bootcmd with a mistake": {"bootcmd:\n- date )\n",
			"bootcmd[0]: a command can only contain words and redirects"},
		"packages with a colon":       {"packages:\n- nginx: latest\n", "packages[0] is a mapping"},
		"packages that are a mapping": {"packages: {nginx: latest}\n", "packages is a mapping"},
		"a package that is a number":  {"packages: [7]\n", "packages[0] is a number"},
		"a package of three words":    {"packages: [[a, b, c]]\n", "packages[0] is a list of 3"},
		"files that are a mapping": {"write_files: {path: /a}\n",
			"write_files is a mapping, but must be a list"},
		"a file that is a text": {"write_files: [/a]\n", "write_files[0] is a text"},
		"a file without a path": {"write_files:\n- {content: a}\n", "write_files[0] has no path"},
		"a file of a number": {"write_files:\n- {path: /a, content: 5}\n",
			"write_files[0].content is a number"},
		"a file of a mapping": {"write_files:\n- {path: /a, content: {b: c}}\n",
			"write_files[0].content is a mapping"},
		"a file that is not base64": {"write_files:\n- {path: /a, encoding: b64, content: hello}\n",
			"is not base64"},
		"a file in URL-safe base64": {"write_files:\n- {path: /a, encoding: base64, content: _-_-}\n",
			"is not base64"},
		"a file that is not gzip": {"write_files:\n- {path: /a, encoding: gz+b64, content: " +
			"aGVsbG8=}\n", "is not gzip"},
		"a file of an unknown encoding": {"write_files:\n- {path: /a, encoding: base32, content: a}\n",
			"is not known to cloud-init"},
		"a mode that is a word": {"write_files:\n- {path: /a, content: b, permissions: u=rw}\n",
			"is not an octal number"},
		"a mode that is decimal": {"write_files:\n- {path: /a, content: b, permissions: 644}\n",
			"quote it: '0644'"},
		"a hostname that is a number": {"hostname: 5\n", "hostname is a number"},
		"a hostname that is true":     {"hostname: yes\n", "hostname is a boolean"},
		"an fqdn that is a list":      {"fqdn: [a]\n", "fqdn is a list"},
		"ntp that is a list":          {"ntp: [a.example]\n", "ntp is a list, but must be a mapping"},
		"apt that is a text": {"apt: deb http://a.example\n",
			"apt is a text, but must be a mapping"},
		"sources of apt that are a list": {"apt: {sources: [a]}\n", "apt.sources is a list"},
		"mounts that are texts":          {"mounts: [/dev/xvdf]\n", "a mount is a text"},
		"keys that are a text": {"ssh_authorized_keys: ssh-rsa AAAA\n",
			"ssh_authorized_keys is a text, but must be a list"},
		"repositories that are a list": {"yum_repos: [a]\n",
			"yum_repos is a list, but must be a mapping"},
		"chpasswd that is a text": {"chpasswd: 'a:b'\n",
			"chpasswd is a text, but must be a mapping"},
		"an empty merge key": {"ntp: {<<: a}\n", "merge key <<"},
		"a Launch-Index of another": {"launch-index: 1\nhostname: a\n",
			"is for the machine with launch index"},
		"a merge_how that is none": {"merge_how: append\nhostname: a\n",
			"is nothing cloud-init understands"},
	}
	var cases []Case
	for name, content := range good {
		cases = append(cases, Case{Name: "cloud-config: " + name, Content: "#cloud-config\n" + content})
	}
	for name, c := range bad {
		cases = append(cases, Case{Name: "cloud-config: " + name, Content: "#cloud-config\n" + c[0], Error: c[1]})
	}
	return cases
}

// bomb returns aliases of aliases, which are a billion values when they are expanded.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [" + strings.Repeat("x, ", 9) + "x]\n")
	const alphabet = "0123456789"
	for i := 1; i < len(alphabet); i++ {
		before := "*a" + alphabet[i-1:i]
		b.WriteString("a" + alphabet[i:i+1] + ": &a" + alphabet[i:i+1] + " [" + strings.Repeat(before+", ", 9) +
			before + "]\n")
	}
	return b.String()
}
