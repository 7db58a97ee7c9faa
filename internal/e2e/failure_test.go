// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/reuse"
)

const template = "testdata/bake.pkr.hcl"

// failure is an Image-Source that fails on the machine.
type failure struct {
	files map[string]string
	vars  []string
	want  []string
}

func (f failure) bake(t *testing.T, l *lab) {
	t.Helper()
	image := testName(t)
	r := l.build(t, absolute(t, template), append([]string{"source=" + write(t, f.files), "name=" + image},
		f.vars...)...)
	requireFailed(t, l, image, r.Code, r.Output, f.want...)
}

// failures are the ways a bake fails on the machine, and what packer build must print for each.
var failures = map[string]failure{
	"a failing install.sh": {
		files: map[string]string{"script/install.sh": "#!/bin/sh\necho one; echo two >&2\nexit 7\n",
			"cloudinit/60_SHOULD-NOT-RUN.cfg": "#cloud-config\nruncmd: [\"true\"]\n"},
		want: []string{"script/install.sh failed with exit status 7", "one", "two"},
	},
	"a step that kills every process": {
		files: map[string]string{"script/install.sh": "#!/bin/sh\nkill -9 -1\nsleep 60\n"},
		want:  []string{"script/install.sh failed with exit status 1: the machine restarted in its middle, or its"},
	},
	"a failing runcmd in the middle": {
		files: map[string]string{"cloudinit/60_app.cfg": "#cloud-config\nruncmd:\n- echo first\n" +
			"- [sh, -c, 'echo the middle; exit 3']\n- echo SHOULD-NOT-RUN\n"},
		want: []string{"60_app.cfg runcmd[1] failed with exit status 3", "the middle"},
	},
	"an exit that hides the rest": {
		files: map[string]string{"cloudinit/60_app.cfg": "#cloud-config\nruncmd:\n- exit 0\n- echo SHOULD-NOT-RUN\n"},
		want:  []string{"60_app.cfg runcmd[0]", "ended the shell"},
	},
	"a failing script part": {
		files: map[string]string{"cloudinit/70_setup.cfg": "#!/bin/bash\necho in the part\nfalse || exit 9\n"},
		want:  []string{"70_setup.cfg failed with exit status 9", "in the part"},
	},
	"a package that does not exist": {
		files: map[string]string{"cloudinit/20_packages.cfg": "#cloud-config\npackages: [bakery-no-such-package]\n"},
		want:  []string{"package_update_upgrade_install failed with exit status", "bakery-no-such-package"},
	},
	"a boothook that hangs": {
		files: map[string]string{"cloudinit/10_hook.cfg": "#cloud-boothook\n#!/bin/sh\necho waiting\nsleep 600\n"},
		vars:  []string{"timeout=4m"}, // so that the boot has a minute, as below
		want:  []string{"10_hook.cfg (boothook) failed with exit status 124", "did not finish"},
	},
	"a full disk": {
		files: map[string]string{"script/install.sh": "#!/bin/sh\nset -e\nfallocate -l \"$(($(df --output=avail -B1 " +
			"/ | tail -n 1) - 1048576))\" /fill\n" +
			"echo filling\ndd if=/dev/zero of=/more bs=1M status=none\n"},
		want: []string{"script/install.sh failed with exit status 1", "No space left on device"},
	},
	"a power-off in the middle": {
		files: map[string]string{"cloudinit/60_app.cfg": "#cloud-config\nruncmd:\n- echo before\n- poweroff\n" +
			"- echo SHOULD-NOT-RUN\n"},
		want: []string{"60_app.cfg runcmd[1]", "powered the machine off"},
	},
	"a shutdown at the end": {
		files: map[string]string{"cloudinit/60_app.cfg": "#!/bin/sh\necho installed\nshutdown -h now\n"},
		want: []string{"60_app.cfg", "powers the machine off, and the bake fails there", // before the launch
			"60_app.cfg failed with exit status 143: this step powered the machine off", `set verdict = "stop"`},
	},
	"a signal to every shell": {
		files: map[string]string{"script/install.sh": "#!/bin/sh\npkill -x sh\nsleep 1000\n"},
		want:  []string{"script/install.sh failed with exit status 143: a SIGTERM ended the bake without a shutdown"},
	},
	"a power-off that nothing can report": {
		files: map[string]string{"script/install.sh": "#!/bin/sh\nsync\npoweroff -f -f\n"},
		want:  []string{"without a verdict", "script/install.sh", "shuts the machine down, remove that"},
	},
	"a machine that hangs": {
		files: map[string]string{"cloudinit/60_app.cfg": "#cloud-config\nruncmd:\n- echo waiting for Godot\n" +
			"- echo still here; sleep 1000\n"},
		// The machine has a minute less than this. Its boot has to take less than that minute, or Packer's time ends
		// first.
		vars: []string{"timeout=4m"},
		want: []string{"60_app.cfg runcmd[1] failed with exit status 124", "still here"},
	},
}

// TestFailures bakes what fails on the machine. Packer has to say what failed and where, and nothing may be left.
func TestFailures(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	t.Run("each", func(t *testing.T) {
		// The machines of these three do nothing for minutes. They need no slot, so that they begin at once.
		for name, test := range map[string]func(*testing.T, *lab){
			"a machine that never runs cloud-init": cloudInitDisabled,
			"build-ami.sh on a machine that hangs": jenkinsTimeout,
			"a machine that hangs":                 failures["a machine that hangs"].bake,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				machineSlots.hold(t)
				test(t, l)
			})
		}
		for name, c := range failures {
			if name == "a machine that hangs" {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				c.bake(t, l)
			})
		}
		t.Run("a wrong checksum", func(t *testing.T) {
			t.Parallel()
			wrongChecksum(t, l)
		})
	})
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestUnreachablePayload bakes on a machine that cannot download what was staged for it.
func TestUnreachablePayload(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	l.control(t, http.MethodPost, "faults", "GetObject=reset:1000:Key="+image+"/*fs.tgz")
	r := l.build(t, absolute(t, template), "name="+image,
		"source="+write(t, map[string]string{"fs/opt/blob": incompressible(20000)}))
	requireFailed(t, l, image, r.Code, r.Output, "fs download failed with exit status 1", "curl")
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// requireFailed checks that a build has failed, printed some texts and made no image.
func requireFailed(t *testing.T, l *lab, image string, code int, output string, want ...string) {
	t.Helper()
	if code == 0 {
		t.Error("packer build succeeded")
	}
	for _, w := range want {
		if !strings.Contains(output, w) {
			t.Errorf("packer did not print %q", w)
		}
	}
	if strings.Contains(output, "SHOULD-NOT-RUN") || strings.Contains(output, "runcmd[2]") {
		t.Error("a step after the failed one ran")
	}
	if strings.Contains(output, "X-Amz-Signature") {
		t.Error("a presigned URL was printed")
	}
	if images := l.images(t, image); len(images) > 0 {
		t.Errorf("%v was registered", images)
	}
}

// wrongChecksum puts another object in the place of the staged one, as a broken bucket would.
func wrongChecksum(t *testing.T, l *lab) {
	image := testName(t)
	source := write(t, map[string]string{"fs/opt/blob": incompressible(20000)})
	sum, size := l.compile(t, source)
	other := t.TempDir() + "/other"
	if err := os.WriteFile(other, []byte(incompressible(int(size))), 0o600); err != nil {
		t.Fatal(err)
	}
	digest, err := reuse.SlowDigest([]byte(sum))
	if err != nil {
		t.Fatal(err)
	}
	key := image + "/" + digest + "/fs.tgz"
	bucket := l.values["BAKERY_LAB_BUCKET"]
	l.aws(t, nil, "s3api", "put-object", "--bucket", bucket, "--key", key, "--body", other, "--metadata",
		"bakery-sha256="+sum)
	r := l.build(t, absolute(t, template), "source="+source, "name="+image)
	requireFailed(t, l, image, r.Code, r.Output, "fs download failed", "expected "+sum)
	l.aws(t, nil, "s3api", "head-object", "--bucket", bucket, "--key", key) // not the bake's own: it stays
	l.aws(t, nil, "s3api", "delete-object", "--bucket", bucket, "--key", key)
}

// cloudInitDisabled bakes an image whose cloud-init is switched off, and then bakes from that image.
func cloudInitDisabled(t *testing.T, l *lab) {
	image := testName(t)
	disabled := l.bake(t, image+"-disabled", absolute(t, template), "name="+image+"-disabled",
		"source="+write(t, map[string]string{"fs/etc/cloud/cloud-init.disabled": "yes\n"}))
	started := time.Now()
	r := l.build(t, absolute(t, template), "source_ami="+disabled, "name="+image, "timeout=2m",
		"source="+write(t, map[string]string{"cloudinit/60_app.cfg": "#cloud-config\nruncmd: [echo SHOULD-NOT-RUN]\n"}))
	requireFailed(t, l, image, r.Code, r.Output, "instance_timeout", "2m0s", "it never reported")
	if d := time.Since(started); d < 2*time.Minute {
		t.Errorf("the bake was given up after %s", d)
	}
}
