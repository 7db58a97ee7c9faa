// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	texttemplate "text/template"

	"github.com/google/go-cmp/cmp"
)

// executeCommands are the execute_command settings of public amazon-ebs templates, with a directory in the place of a
// variable.
var executeCommands = []string{
	`sudo sh -c '{{ .Vars }} {{ .Path }}'`,
	`echo 'packer' | sudo -S sh -c '{{ .Vars }} {{ .Path }}'`,
	`sudo -S bash -c '{{ .Vars }} {{ .Path }}'`,
	`cd /home/ubuntu; . .rvm/scripts/rvm; {{ .Vars }} ruby {{ .Path }}`,
	`sudo -S sh -c '{{ .Vars }} {{ .Path }}'`,
	`{{.Vars}} sudo -S -E bash '{{.Path}}'`,
	`chmod +x '{{ .Path }}'; sudo sh -c '{{ .Vars }} {{ .Path }}'`,
	`chmod +x {{ .Path }}; sudo env {{ .Vars }} {{ .Path }} ; rm -f {{ .Path }}`,
	`{{ .Vars }} /bin/bash -e -l {{ .Path }}`,
	`sudo sh -c '{{ .Vars }} pwsh -f {{ .Path }}'`,
	`{{ .Vars }} sudo -E bash {{ .Path }}`,
	`sudo {{.Path}}`,
	`bash '{{.Path}}'`,
	`{{.Vars}} bash '{{.Path}}'`,
	`chmod +x {{ .Path }}; {{ .Path }} /tmp/version-info.json`,
	`{{.Vars}} sudo -S -E bash -eux '{{.Path}}'`,
	`sudo -E bash '{{ .Path }}'`,
	`chmod +x {{ .Path }}; {{ .Vars }} sudo -E bash '{{ .Path }}'`,
	`{{ .Vars }} sudo -E su - jenkins -c "bash -eu '{{ .Path }}'"`,
	`BUILD_NAME=flatcar; if [[ "${BUILD_NAME}" == *"flatcar"* ]]; then sudo {{.Vars}} -S -E bash '{{.Path}}'; fi`,
	`sudo -E -S sh '{{ .Path }}'`,
	`chmod +x {{ .Path }}; sudo su postgres -c '{{ .Vars }} {{ .Path }}'`,
}

// provisionerFiles are the files that the template uploads and runs.
var provisionerFiles = map[string]string{
	"setup.sh": `#!/bin/sh -e
sudo useradd --create-home --shell /bin/bash jenkins
sudo useradd --create-home --shell /bin/bash postgres
sudo mkdir -p -m 1777 /facts
sudo mkdir -p /home/ubuntu/.rvm/scripts
echo 'export RVM=loaded' | sudo tee /home/ubuntu/.rvm/scripts/rvm
printf '#!/bin/sh\nexec sh "$@"\n' | sudo tee /usr/local/bin/ruby
printf '#!/bin/sh\nshift\nexec sh "$@"\n' | sudo tee /usr/local/bin/pwsh
sudo chmod 0755 /usr/local/bin/ruby /usr/local/bin/pwsh
mkdir /facts/there /facts/contents ~/"sub dir"
echo old >/facts/existing
chmod 0604 /facts/existing
ln -s existing /facts/link
`,
	// It leaves out what PAM adds to a session of sshd, and what differs in every run.
	"facts.sh": `exec >"/facts/$name"
echo "$# $*"
id
pwd
umask
tty <&0 || :
env | LC_ALL=C sort | grep -Ev '^(SSH_|XDG_|DBUS_|PACKER_|_=|MAIL=|MOTD_SHOWN=|SUDO_COMMAND=|name=|SHLVL=)'
`,
	// It leaves out times, which differ, and sizes of directories.
	"list.sh": `cd /
{
	find facts home/debian -path home/debian/.ssh -prune -o -printf '%M %u:%g %p -> %l\n' | LC_ALL=C sort
	find facts home/debian -path home/debian/.ssh -prune -o -type f -print | LC_ALL=C sort | while IFS= read -r f; do
		echo "--- $f"
		cat "$f"
	done
} >/var/facts
`,
	"tool.sh": "#!/bin/sh\necho tool\n", "private": "private\n", "conf/a.conf": "a\n", "conf/sub dir/b.conf": "b\n",
	"conf/bin/run.sh": "#!/bin/sh\n",
}

// TestProvisionersOverSSHAndRecorded checks that the same provisioners leave the same files over SSH, by Packer's own
// communicator, and recorded. Sessions differ: on trixie, as on Ubuntu, PAM gives them a umask.
func TestProvisionersOverSSHAndRecorded(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	for suite, release := range map[string]string{"bookworm": "12", "trixie": "13"} {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			l.compareSSHAndRecorded(t, suite, release)
		})
	}
}

func (l *lab) compareSSHAndRecorded(t *testing.T, suite, release string) {
	t.Helper()
	file := provisionersTemplate(t)
	m := l.startSSH(t, suite, "")
	m.waitForCloudInit(t)
	r := l.packerBuild(t, filepath.Dir(file), l.environ(t),
		"-only=null.ssh", "-var", "host="+m.address, "-var", "key="+m.key, file)
	if r.Code != 0 {
		t.Fatalf("over SSH: exit status %d\n%s", r.Code, r.Output)
	}
	want := l.sh(t, m.id, "cat /var/facts")

	image := testName(t)
	r = l.packerBuild(t, filepath.Dir(file), l.environ(t),
		"-only=bakery-userdata.recorded", "-var", "name="+image, "-var", "release="+release, file)
	if r.Code != 0 {
		t.Fatalf("recorded: exit status %d\n%s", r.Code, r.Output)
	}
	got := l.cli(t, "cat", l.images(t, image)[0], "/var/facts")
	for _, fact := range []string{"--- facts/0\n", "--- facts/21\n", "--- home/debian/sub dir/it's $HOME\n"} {
		if !strings.Contains(want, fact) {
			t.Errorf("the listing lacks %q:\n%s", fact, want)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what provisioners leave (-over SSH +recorded):\n%s", diff)
	}
}

// provisionersTemplate writes the template and returns its path.
func provisionersTemplate(t *testing.T) string {
	t.Helper()
	dir := write(t, provisionerFiles)
	if err := os.Chmod(filepath.Join(dir, "private"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("bin", filepath.Join(dir, "conf", "link")); err != nil {
		t.Fatal(err)
	}
	var commands []string
	for _, command := range executeCommands {
		commands = append(commands, strings.ReplaceAll(strconv.Quote(command), "${", "$${"))
	}
	file := filepath.Join(dir, "provisioners.pkr.hcl")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := texttemplate.Must(texttemplate.ParseFiles("testdata/provisioners.pkr.hcl.tmpl")).Execute(f,
		map[string]any{"Commands": commands}); err != nil {
		t.Fatal(err)
	}
	return file
}
