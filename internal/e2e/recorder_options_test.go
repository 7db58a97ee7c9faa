// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCommonOptions bakes the options that every provisioner block has, and a reboot in the middle, after which the
// machine goes on with the next recorded command.
func TestCommonOptions(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	id := l.bake(t, image, provisionerTemplate(t, `
  provisioner "shell" {
    inline           = ["echo value >~/order; sudo touch /run/first-boot", "sudo reboot"]
    expect_disconnect = true
    skip_clean       = true
  }

  provisioner "shell" {
    pause_before        = "1s"
    pause_after         = "1s"
    start_retry_timeout = "10m"
    inline              = ["test ! -e /run/first-boot", "echo rebooted >>~/order"]
  }

  provisioner "shell" {
    timeout     = "30s" # of the recording, which takes less
    max_retries = 3
    inline      = ["sleep 35", "echo slow >>~/order"]
  }

  provisioner "shell" {
    only   = ["amazon-ebs.test"]
    inline = ["echo SHOULD-NOT-RUN >>~/order"]
  }

  provisioner "shell" {
    except = ["bakery-userdata.test"]
    inline = ["echo SHOULD-NOT-RUN >>~/order"]
  }

  provisioner "shell" {
    inline = ["echo SHOULD-NOT-RUN >>~/order"]
    override = {
      test = { inline = ["echo override >>~/order"] }
    }
  }

  provisioner "shell" {
    inline          = ["echo three >>~/order; exit 3"]
    execute_command = "chmod +x {{ .Path }}; {{ .Vars }} {{ .Path }} || [ $? = 3 ]"
  }

  provisioner "shell" {
    inline           = ["echo valid >>~/order"]
    valid_exit_codes = [0, 3, 2300218]
  }

  provisioner "breakpoint" {
    disable = true
  }

  error-cleanup-provisioner "shell-local" {
    inline = ["echo SHOULD-NOT-RUN"]
  }
`, nil), "name="+image)
	if got, want := l.cli(t, "cat", id, "/home/debian/order"),
		"value\nrebooted\nslow\noverride\nthree\nvalid"; got != want {
		t.Errorf("the scripts ran as %q, want %q", got, want)
	}
}

// TestReplayReboots checks that no command is lost when a reboot begins in a pause, that a command which asks for a
// reboot ends with it, and that a user without a login shell gets sh.
func TestReplayReboots(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	r := l.build(t, provisionerTemplate(t, `
  provisioner "shell" {
    inline = ["echo one >~/order; sudo touch /run/first-boot", "nohup sh -c 'sleep 4; sudo reboot' >/dev/null 2>&1 &"]
  }

  provisioner "shell" {
    pause_before = "15s"
    inline       = ["test ! -e /run/first-boot", "sudo touch /run/second-boot", "echo two >>~/order"]
    pause_after  = "1s"
  }

  provisioner "shell" {
    inline     = ["sudo usermod -s '' debian", "sudo reboot; sleep 600", "echo SHOULD-NOT-RUN >>~/order"]
    skip_clean = true
  }

  provisioner "shell" {
    inline = ["test ! -e /run/second-boot", "echo $SHELL >>~/order"]
  }
`, nil), "name="+image)
	if r.Code != 0 {
		t.Fatal("the bake failed")
	}
	if got, want := l.cli(t, "cat", l.images(t, image)[0], "/home/debian/order"), "one\ntwo\n/bin/sh"; got != want {
		t.Errorf("the scripts left %q, want %q", got, want)
	}
}

// TestReplayFailures checks that a failure names the provisioner, its exit status and its last output.
func TestReplayFailures(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	t.Run("each", func(t *testing.T) {
		for name, c := range map[string]struct {
			block string
			want  []string
		}{
			"a script": {`provisioner "shell" {
	    scripts = ["fine.sh", "fails.sh"]
	  }`, []string{"provisioner 2 (shell fails.sh) failed with exit status 7", "| one", "| two"}},
			"a status that only Packer takes": {`provisioner "shell" {
	    inline           = ["exit 3"]
	    valid_exit_codes = [0, 3]
	  }`, []string{"provisioner 2 (shell inline) failed with exit status 3"}},
			"a file that may not be written": {`provisioner "file" {
	    source      = "fine.sh"
	    destination = "/etc/fine.sh"
	  }`, []string{"provisioner 2 (file) failed with exit status", "/etc/fine.sh", "ermission denied"}},
			"a directory that is not there": {`provisioner "file" {
	    source      = "fine.sh"
	    destination = "/tmp/no/such/fine.sh"
	  }`, []string{"provisioner 2 (file) failed with exit status", "/tmp/no/such"}},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				image := testName(t)
				r := l.build(t, provisionerTemplate(t, `provisioner "shell" {
	    inline = ["true"]
	  }
	  `+c.block+`
	  provisioner "shell" {
	    inline = ["touch SHOULD-NOT-RUN"]
	  }
	  error-cleanup-provisioner "shell-local" {
	    inline = ["echo cleaned up here"]
	  }`, map[string]string{"fine.sh": "#!/bin/sh\n", "fails.sh": "#!/bin/sh\necho one; echo two >&2; exit 7\n"}),
					"name="+image)
				requireFailed(t, l, image, r.Code, r.Output, append(c.want, "cleaned up here")...)
			})
		}
	})
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestErrorCleanup checks that an error-cleanup-provisioner that needs a machine fails at once: there is none.
func TestErrorCleanup(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	template := provisionerTemplate(t, `provisioner "shell" {
    inline = ["true"]
  }
  provisioner "shell-local" {
    inline = ["echo failing here; exit 1"]
  }
  error-cleanup-provisioner "shell" {
    inline = ["rm -rf /"]
  }`, nil)
	for _, onError := range []string{"cleanup", "abort", "run-cleanup-provisioner"} {
		t.Run(onError, func(t *testing.T) {
			t.Parallel()
			r := l.packerBuild(t, filepath.Dir(template), l.environ(t),
				"-on-error="+onError, "-var", "name="+testName(t), template)
			if r.Code == 0 || !strings.Contains(r.Output, "failing here") || strings.Contains(r.Output, "Launching") {
				t.Errorf("exit status %d\n%s", r.Code, r.Output)
			}
			if told := strings.Contains(r.Output, "there is no machine to connect to"); told != (onError != "abort") {
				t.Errorf("the error-cleanup-provisioner was told so: %v\n%s", told, r.Output)
			}
		})
	}
}

// TestProvisionersAlone bakes provisioners without any other user data, and without staging.
func TestProvisionersAlone(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	template := provisionerTemplate(t, `provisioner "shell" {
    inline = ["id -un >/root/who", "pwd >>/root/who"]
  }`, nil)
	content, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("staging {\n    url = \"s3://bakery-lab/recorder/${var.name}\"\n  }", "",
		`ssh_username     = "debian"`, "").Replace(string(content))
	if err := os.WriteFile(template, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	id := l.bake(t, image, template, "name="+image)
	if diff := cmp.Diff("root\n/root", l.cli(t, "cat", id, "/root/who")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
