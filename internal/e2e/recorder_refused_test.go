// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// refusals are blocks of templates that cannot work without a connection, and what packer build must print for each.
var refusals = map[string]struct {
	block string
	want  []string
}{
	"a download": {`provisioner "file" {
    direction   = "download"
    source      = "/etc/hostname"
    destination = "hostname"
  }`, []string{`recorded.pkr.hcl:`, `file with direction = "download": nothing connects to the machine`, "S3"}},
	"a download with an expression for its direction": {`provisioner "file" {
    direction   = lower("DOWNLOAD")
    source      = "/etc/"
    destination = "etc"
  }`, []string{"provisioner 1 (file): download /etc/"}},
	"powershell": {`provisioner "powershell" {
    inline = ["Get-Date"]
  }`, []string{"provisioner 1 (powershell): the destination \"c:/Windows/Temp/",
		"is for Windows, but this builder bakes Linux"}},
	"powershell with an elevated user": {`provisioner "powershell" {
    inline            = ["Get-Date"]
    elevated_user     = "SYSTEM"
    elevated_password = ""
  }`, []string{"provisioner 1 (powershell): ", "is for Windows"}},
	"windows-shell": {`provisioner "windows-shell" {
    inline = ["dir"]
  }`, []string{"provisioner 1 (windows-shell): ", "is for Windows"}},
	"windows-restart": {`provisioner "windows-restart" {}`,
		[]string{"provisioner 1 (windows-restart): the command \"shutdown\" is for Windows"}},
	"hcp-sbom": {`provisioner "hcp-sbom" {
    source      = "/tmp/sbom.json"
    destination = "sbom.json"
  }`, []string{"provisioner 1: download /tmp/sbom.json"}},
	"hcp-sbom that looks at the machine": {`provisioner "hcp-sbom" {
    auto_generate = true
  }`, []string{"provisioner 1 (hcp-sbom): it reads what \"uname\" prints"}},
	"what waits after one that does not fail": {`provisioner "hcp-sbom" {
    auto_generate = true
  }
  provisioner "shell" {
    pause_before = "30s"
    inline       = ["true"]
  }`, []string{"provisioner 1 (hcp-sbom): "}},
	"a password of the machine": {`provisioner "shell" {
    inline = ["echo ${build.Password}"]
  }`, []string{"recorded.pkr.hcl:24:23: build.Password has no value: nothing connects to the machine"}},
	"the id of the machine on this computer": {`provisioner "shell-local" {
    inline = ["aws ssm send-command --instance-ids ${build.ID}"]
  }`, []string{"build.ID has no value: shell-local runs on this computer, before the machine is launched"}},
	"all variables in a script": {`provisioner "shell" {
    inline = ["echo '${jsonencode(build)}'"]
  }`, []string{"provisioner 1 (shell inline): what is uploaded to /tmp/script_", "holds ERR_",
		"_NOT_IMPLEMENTED_BY_BUILDER", "nothing connects to the machine"}},
	"all variables in a command": {`provisioner "shell" {
    environment_vars = ["ALL=${jsonencode(build)}"]
    inline           = ["true"]
  }`, []string{"provisioner 1 (shell inline): the command holds ERR_"}},
	"all variables in a file of variables": {`provisioner "shell" {
    environment_vars = ["ALL=${jsonencode(build)}"]
    use_env_var_file = true
    inline           = ["true"]
  }`, []string{"what is uploaded to /tmp/varfile_", "ERR_"}},
	"all variables in a content": {`provisioner "file" {
    content     = jsonencode(build)
    destination = "/etc/x"
  }`, []string{"provisioner 1 (file): what is uploaded to /etc/x holds ERR_"}},
	"an unknown value": {`provisioner "shell" {
    inline = ["echo '<unknown>'"]
  }`, []string{"provisioner 1 (shell inline): ", "\"<unknown>\""}},
	"Packer's own HTTP server": {`provisioner "shell" {
    inline = ["curl http://${build.PackerHTTPAddr}/x"]
  }`, []string{"build.PackerHTTPAddr has no value: this builder serves no files over HTTP"}},
	"a path of the bake": {`provisioner "file" {
    source      = "x"
    destination = "/var/lib/bakery/x"
  }`, []string{"provisioner 1 (file): the destination \"/var/lib/bakery/x\"", "belongs to the bake"}},
	"a path a shell would expand": {`provisioner "file" {
    source      = "x"
    destination = "/home/$USER/x"
  }`, []string{"write the path out"}},
	"exit codes without 0": {`provisioner "shell" {
    inline           = ["exit 3"]
    valid_exit_codes = [3]
  }`, []string{"provisioner 1 (shell inline): Script exited with non-zero exit status: 0", "|| [ $? = 3 ]"}},
	"a script that is retried": {`provisioner "shell" {
    inline      = ["echo '${jsonencode(build)}'"]
    max_retries = 5
  }`, []string{"holds ERR_"}},
	"a name with a line break": {`provisioner "file" {
    source      = "dir"
    destination = "/opt"
  }`, []string{"line break"}},
}

// TestRefusals checks that what cannot work is refused before anything costs money, and at once: Packer does not try it
// again, and does not go on to the next block. A time limit would only measure how busy this computer is.
func TestRefusals(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	t.Run("each", func(t *testing.T) {
		for name, c := range refusals {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l.buildRefused(t, c.block, c.want)
			})
		}
	})
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// buildRefused builds a block that must be refused.
func (l *lab) buildRefused(t *testing.T, block string, want []string) {
	t.Helper()
	labSlots.acquire(t)
	template := provisionerTemplate(t, block+`
  provisioner "shell" {
    inline = ["echo SHOULD-NOT-RUN"]
  }`, map[string]string{"x": "x", "dir/a\nb": "x"})
	log := filepath.Join(t.TempDir(), "packer.log")
	env := append(l.environ(t), "PACKER_LOG=1", "PACKER_LOG_PATH="+log)
	argv := []string{packertest.Built(t).Packer, "build", "-var", "name=" + testName(t), template}
	r := packertest.Run(t, filepath.Dir(template), env, argv...)
	if r.Code == 0 {
		t.Error("packer build succeeded")
	}
	for _, w := range want {
		if !strings.Contains(r.Output, w) {
			t.Errorf("packer did not print %q", w)
		}
	}
	if strings.Contains(r.Output, "Launching") {
		t.Error("a machine was launched")
	}
	// Packer logs each failed attempt, and sleeps after it unless the build is being cancelled. So a second one means
	// that it has slept. A block with max_retries begins anew each time.
	begun := max(1, strings.Count(r.Output, "Provisioning with "))
	if n := strings.Count(mustRead(t, log), "Retryable error"); n > begun {
		t.Errorf("packer attempted the block %d times:\n%s", n, mustRead(t, log))
	}
	if strings.Contains(r.Output, "Pausing") {
		t.Error("packer waited before the block after the refused one")
	}
	if t.Failed() {
		t.Logf("exit status %d\n%s", r.Code, r.Output)
	}
}
