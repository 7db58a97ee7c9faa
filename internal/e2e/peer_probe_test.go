// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build peer

package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// peerCommands are the default execute_command and those of public templates. probeSetup makes what they need on the
// machine.
var peerCommands = append([]string{""}, executeCommands...)

// probeSetup makes the users and programs that the commands ask for.
const probeSetup = `
sudo install -d -m 1777 /opt/probe
sudo useradd -m jenkins
sudo useradd -m -s /bin/bash postgres
sudo install -d -m 0755 /home/ubuntu/.rvm/scripts
echo 'export RVM=yes' | sudo tee /home/ubuntu/.rvm/scripts/rvm >/dev/null
printf '#!/bin/sh\nexec sh "$1"\n' | sudo tee /usr/local/bin/ruby >/dev/null
printf '#!/bin/sh\nexec sh "$2"\n' | sudo tee /usr/local/bin/pwsh >/dev/null
sudo chmod 0755 /usr/local/bin/ruby /usr/local/bin/pwsh
sed -i '1i export FROM_BASHRC=yes' ~/.bashrc
nohup sh -c 'sleep 2; echo "still here" >/opt/probe/background' >/dev/null 2>&1 &
`

// probe prints everything a script can see of its user and its environment.
const probe = `#!/bin/sh
exec 3>/opt/probe/%02d
say() { printf '%%s: %%s\n' "$1" "$2" >&3; }
say stdin "$(if [ -t 0 ]; then echo terminal; else echo "no terminal, $(timeout 5 wc -c || echo open) bytes"; fi)"
say terminals "$(for fd in 0 1 2; do [ -t $fd ] && printf '%%s ' $fd; done)"
say tty "$(sh -c ': </dev/tty' 2>&1 | sed 's/^.*: //')"
say id "$(id)"
say pwd "$(pwd)"
say umask "$(umask)"
say nice "$(nice)"
say oom "$(cat /proc/self/oom_score_adj)"
say signals "$(grep -E '^Sig(Blk|Ign)' /proc/self/status | tr -s '\t\n' '  ')"
say capabilities "$(grep -E '^Cap|NoNewPrivs|Seccomp:' /proc/self/status | tr -s '\t\n' '  ')"
say arguments "$*"
say sudo "$(sudo -n id 2>/dev/null) $?"
say path "$(ls -ln "$0" | cut -d ' ' -f 1,3,4)"
say made "$(d=$(mktemp -u); touch "$d"; mkdir "$d.d"
	stat -c '%%a %%u:%%g' "$d" "$d.d" | tr '\n' ' '; rm -r "$d" "$d.d")"
for name in PATH HOME USER LOGNAME SHELL MAIL LANG TERM PWD RVM FROM_BASHRC FROM_ENVIRONMENT GREETING; do
  eval "say '$name' \"\${$name-unset}\""
done
env | sed -n 's/^\([A-Za-z_][A-Za-z_0-9]*\)=.*/variable: \1/p' | sort >&3
for limit in c d f l m n p s t v; do
	say "limit $limit" "$(ulimit -S -$limit 2>&1 || true) $(ulimit -H -$limit 2>&1 || true)"
done
`

// TestPeerScripts checks that scripts run in the same environment here and over SSH, but for what the manual lists,
// with every execute_command of public templates.
func TestPeerScripts(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	listed := listedVariables(t)
	onPeerGuests(t, func(t *testing.T, suite string) {
		before, after := l.bakeBoth(t, peerTemplate(t, "amazon-ebs", probes()),
			peerTemplate(t, "bakery-userdata", probes()), l.peerSettings(suite))
		for i, command := range peerCommands {
			theirs, ours := l.probed(t, before, i), l.probed(t, after, i)
			for _, name := range listed {
				delete(theirs, "variable: "+name)
				delete(ours, "variable: "+name)
			}
			if diff := cmp.Diff(theirs, ours); diff != "" {
				t.Errorf("execute_command %q (-amazon-ebs +bakery-userdata):\n%s", command, diff)
			}
		}
		for _, image := range []string{before, after} {
			if got := l.cli(t, "cat", image, "/opt/probe/background"); got != "still here" {
				t.Errorf("what a script left running wrote %q", got)
			}
		}
	})
}

// probes is a provisioner that prepares, and one for each command.
func probes() string {
	var text strings.Builder
	fmt.Fprintf(&text, "  provisioner \"shell\" {\n    inline = [<<-EOF\n%s\n    EOF\n    ]\n  }\n", probeSetup)
	for i, command := range peerCommands {
		text.WriteString("  provisioner \"shell\" {\n")
		if command != "" {
			fmt.Fprintf(&text, "    execute_command  = %q\n", strings.ReplaceAll(command, "${", "$${"))
		}
		greeting := "hello" // with a quote or a space, most of the commands would not work over SSH either
		if command == "" {
			greeting = "it's a \"$HOME\" \\ \n of mine"
		}
		script := strings.ReplaceAll(fmt.Sprintf(probe, i), "${", "$${")
		fmt.Fprintf(&text, "    environment_vars = [%q]\n    inline_shebang = \"/bin/sh\"\n    inline = [<<-EOF\n%s\n"+
			"    EOF\n    ]\n  }\n",
			"GREETING="+greeting, script)
	}
	// what was left running has had its time then
	text.WriteString("  provisioner \"shell\" {\n    inline = [\"sleep 3\"]\n  }\n")
	return text.String()
}

// probed is what one probe wrote on an image, by what it is about.
func (l *lab) probed(t *testing.T, image string, probe int) map[string]string {
	t.Helper()
	got := map[string]string{}
	for line := range strings.Lines(l.cli(t, "cat", image, fmt.Sprintf("/opt/probe/%02d", probe))) {
		line = strings.TrimSuffix(line, "\n")
		if name, ok := strings.CutPrefix(line, "variable: "); ok {
			got["variable: "+name] = "set"
			continue
		}
		name, value, _ := strings.Cut(line, ": ")
		got[name] = value
	}
	if len(got) < 20 {
		t.Errorf("probe %d wrote only %v", probe, slices.Collect(maps.Keys(got)))
	}
	return got
}

// peerTemplate writes a template of some provisioners for a builder.
func peerTemplate(t *testing.T, builder, provisioners string) string {
	t.Helper()
	staging := ""
	if builder != "amazon-ebs" {
		staging = "  staging {\n    url = \"s3://${var.bucket}/peer\"\n  }\n"
	}
	path := filepath.Join(t.TempDir(), "peer.pkr.hcl")
	text := fmt.Sprintf(`variable "ami_name" {}
variable "source_ami" {}
variable "bucket" {}
variable "ssh_username" {}
source %q "peer" {
  source_ami    = var.source_ami
  instance_type = "t3.nano"
  ssh_username  = var.ssh_username
  ami_name      = var.ami_name

  # SSH is there before cloud-init writes the locale, which is so for all of a connection.
  user_data = <<-EOF
    #cloud-config
    bootcmd:
    - echo LANG=C.UTF-8 >/etc/default/locale
    - echo 'FROM_ENVIRONMENT="a b"' >>/etc/environment
  EOF
%s}
build {
  sources = ["source.%s.peer"]
%s}
`, builder, staging, builder, provisioners)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// peerSettings are the variables of peerTemplate, and of example/migrate.
func (l *lab) peerSettings(suite string) []string {
	return []string{"source_ami=" + l.values["BAKERY_LAB_AMI_"+strings.ToUpper(suite)],
		"bucket=" + l.values["BAKERY_LAB_BUCKET"], "ssh_username=" + l.values["BAKERY_LAB_USER"]}
}

// listedVariables are the environment variables that the manual says are there over SSH alone.
func listedVariables(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(packertest.Root(), imagesPage))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`[A-Z][^|]*) \\| ").FindAllStringSubmatch(string(text), -1) {
		for _, word := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			names = append(names, word[1])
		}
	}
	if len(names) == 0 {
		t.Fatalf("%s lists no variables", imagesPage)
	}
	return names
}
