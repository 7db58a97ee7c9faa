// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// refusals are blocks of templates that cannot work without a connection, and what packer build says of each.
var refusals = map[string]struct {
	block string
	want  []string
}{
	"a download": {`provisioner "file" {
    direction   = "download"
    source      = "/etc/hostname"
    destination = "hostname"
  }`, []string{"provisioner 1 (file): download /etc/hostname: there is nothing to download from", "S3"}},
	"a download of a directory": {`provisioner "file" {
    direction   = "download"
    source      = "/etc/"
    destination = "etc"
  }`, []string{"provisioner 1 (file): download /etc/"}},
	"powershell": {`provisioner "powershell" {
    inline = ["Get-Date"]
  }`, []string{"provisioner 1 (powershell): the destination \"c:/Windows/Temp/", "is for Windows, but this builder bakes Linux"}},
	"powershell with an elevated user": {`provisioner "powershell" {
    inline            = ["Get-Date"]
    elevated_user     = "SYSTEM"
    elevated_password = ""
  }`, []string{"provisioner 1 (powershell): ", "is for Windows"}},
	"windows-shell": {`provisioner "windows-shell" {
    inline = ["dir"]
  }`, []string{"provisioner 1 (windows-shell): ", "is for Windows"}},
	"windows-restart": {`provisioner "windows-restart" {}`, []string{"provisioner 1 (windows-restart): the command \"shutdown\" is for Windows"}},
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
	"an address of the machine": {`provisioner "shell" {
    inline = ["echo ${build.Host}"]
  }`, []string{"provisioner 1 (shell inline): what is uploaded to /tmp/script_", "ERR_HOST_NOT_IMPLEMENTED_BY_BUILDER", "Let the script ask the machine itself"}},
	"an id of the machine": {`provisioner "shell" {
    environment_vars = ["INSTANCE=${build.ID}"]
    inline           = ["true"]
  }`, []string{"provisioner 1 (shell inline): the command holds ERR_ID_NOT_IMPLEMENTED_BY_BUILDER"}},
	"an id of the machine in a file of variables": {`provisioner "shell" {
    environment_vars = ["INSTANCE=${build.ID}"]
    use_env_var_file = true
    inline           = ["true"]
  }`, []string{"what is uploaded to /tmp/varfile_", "ERR_ID_"}},
	"a password in a content": {`provisioner "file" {
    content     = "password = ${build.Password}"
    destination = "/etc/x"
  }`, []string{"provisioner 1 (file): what is uploaded to /etc/x holds ERR_PASSWORD_"}},
	"an unknown value": {`provisioner "shell" {
    inline = ["echo '<unknown>'"]
  }`, []string{"provisioner 1 (shell inline): ", "\"<unknown>\""}},
	"Packer's own HTTP server": {`provisioner "shell" {
    inline = ["curl http://${build.PackerHTTPAddr}/x"]
  }`, []string{"serves no files over HTTP"}},
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
    inline      = ["echo ${build.Port}"]
    max_retries = 5
  }`, []string{"ERR_PORT_"}},
	"a name with a line break": {`provisioner "file" {
    source      = "dir"
    destination = "/opt"
  }`, []string{"line break"}},
}

// TestRefusals: what cannot work is refused before anything costs money, within a second of the block's beginning.
func TestRefusals(t *testing.T) {
	l := sharedLab(t)
	own := slices.Min([]time.Duration{l.buildRefused(t, "the baseline", `provisioner "shell-local" {
    inline = ["exit 1"]
  }`, nil), l.buildRefused(t, "the baseline", `provisioner "shell-local" {
    inline = ["exit 1"]
  }`, nil)})
	for name, c := range refusals {
		t.Run(name, func(t *testing.T) {
			// The second chance is for a computer that was busy; what waits for something, waits both times.
			took := l.buildRefused(t, name, c.block, c.want) - own
			if took > time.Second {
				took = l.buildRefused(t, name, c.block, c.want) - own
			}
			t.Logf("refused after %s", max(took, 0))
			if took > time.Second {
				t.Errorf("it took %s longer than a block that fails by itself", took)
			}
		})
	}
	if left := append(l.leftovers(t), l.orphans(t)...); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// buildRefused builds a block that must fail, and tells how long that takes from the end of the block before it.
func (l *lab) buildRefused(t *testing.T, name, block string, want []string) time.Duration {
	t.Helper()
	template := provisionerTemplate(t, `provisioner "shell-local" {
    inline = ["echo HERE-IT-BEGINS"]
  }
  `+block+`
  provisioner "shell" {
    inline = ["echo SHOULD-NOT-RUN"]
  }`, map[string]string{"x": "x", "dir/a\nb": "x"})
	out := &stopwatch{from: "HERE-IT-BEGINS", to: "errored after"}
	code := packertest.Stream(t, out, filepath.Dir(template), l.environ(t), packertest.Built(t).Packer, "build", "-var", "name="+testName(t), template)
	output := out.text.String()
	if code == 0 || out.began.IsZero() || out.ended.IsZero() {
		t.Fatalf("%s: exit status %d\n%s", name, code, output)
	}
	for _, w := range want {
		if !strings.Contains(output, w) {
			t.Errorf("packer did not say %q:\n%s", w, output)
		}
	}
	if strings.Contains(output, "Launching") {
		t.Errorf("a machine was launched:\n%s", output)
	}
	return out.ended.Sub(out.began)
}

// stopwatch notes when it first sees two texts.
type stopwatch struct {
	mu           sync.Mutex
	text         bytes.Buffer
	from, to     string
	began, ended time.Time
}

func (w *stopwatch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	for mark, at := range map[string]*time.Time{w.from: &w.began, w.to: &w.ended} {
		if at.IsZero() && strings.Contains(w.text.String(), mark) {
			*at = time.Now()
		}
	}
	return len(p), nil
}
