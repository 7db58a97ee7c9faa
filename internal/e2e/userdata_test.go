// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// plainUserData is user data without an Image-Source. It becomes steps unless verdict is stop.
var plainUserData = map[string]struct {
	userData string
	vars     []string
	want     string // in the file /done of the image
	fails    []string
}{
	"a script": {userData: "#!/bin/sh\necho script >/done\n", want: "script"},
	"a script that fails": {
		userData: "#!/bin/sh\necho on the way\nexit 4\n",
		fails:    []string{"user data", "exit status 4", "on the way"},
	},
	"a part that cloud-init drops": {
		userData: mimeParts("text/cloud-config", "#cloud-config\nruncmd: [echo one >/done]\n", "text/cloud-config",
			"#cloud-config\nwrite_files:\n - a\n  - b: [\n"),
		fails: []string{"user-data:18:3: read YAML: mapping values are not allowed"},
	},
	"a template that cloud-init drops": { // which nobody can tell before
		userData: "## template: jinja\n#cloud-config\n{% if 1 %}write_files:\n - a\n  - b: [\n{% endif %}\n",
		fails:    []string{"user data part", "Failed loading yaml blob"},
	},
	"a part of a type that cloud-init does not know": {
		userData: mimeParts("text/x-shellscript", "#!/bin/sh\necho one >/done\n", "application/x-unknown", "hello\n"),
		fails:    []string{"user-data:15: part 2: is ignored by cloud-init, which does not know its type"},
	},
	"a part that cloud-init drops, which is allowed": {
		userData: mimeParts("text/x-shellscript", "#!/bin/sh\necho one >/done\n", "application/x-unknown", "hello\n"),
		vars:     []string{`ignore=["parts"]`},
		want:     "one",
	},
	"a boothook that fails, among other parts": {
		userData: mimeParts("text/cloud-boothook", "#cloud-boothook\n#!/bin/sh\nexit 7\n", "text/x-shellscript",
			"#!/bin/sh\ntrue\n"),
		fails: []string{"(boothook)", "exit status 7"},
	},
	"a key that nothing reads, among other parts": {
		userData: mimeParts("text/cloud-config", "#cloud-config\npakages: [hello]\n", "text/x-shellscript",
			"#!/bin/sh\ntrue\n"),
		fails: []string{"user-data:9:1: unknown key \"pakages\"", "did you mean \"packages\"?"},
	},
	"cloud-config that powers off, in base64 in MIME": {
		userData: "Content-Type: multipart/mixed; boundary=\"B\"\nMIME-Version: 1.0\n\n--B\n" +
			"Content-Type: text/cloud-config\n" +
			"MIME-Version: 1.0\nContent-Transfer-Encoding: base64\n\n" +
			base64.StdEncoding.EncodeToString([]byte("#cloud-config\npower_state: {mode: poweroff}\n"+
				"runcmd: [echo mime >/done]\n")) + "\n\n--B--\n",
		want: "mime",
	},
	"a script that powers off by itself": {
		userData: "#!/bin/sh\necho stopped >/done\nsync\npoweroff\n",
		vars:     []string{"verdict=stop"},
		want:     "stopped",
	},
}

// mimeParts makes a multipart document of pairs of type and content.
func mimeParts(pairs ...string) string {
	var b strings.Builder
	b.WriteString("Content-Type: multipart/mixed; boundary=\"B\"\nMIME-Version: 1.0\n\n")
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, "--B\nContent-Type: %s\nMIME-Version: 1.0\n\n%s\n", pairs[i], pairs[i+1])
	}
	return b.String() + "--B--\n"
}

// TestUserDataFile bakes plain user data, with a verdict and without.
func TestUserDataFile(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	t.Run("each", func(t *testing.T) {
		for name, c := range plainUserData {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				image := strings.NewReplacer(",", "").Replace(testName(t))
				file := filepath.Join(write(t, map[string]string{"user-data": c.userData}), "user-data")
				vars := append([]string{"name=" + image, "file=" + file}, c.vars...)
				if c.fails != nil {
					r := l.build(t, absolute(t, "testdata/userdata.pkr.hcl"), vars...)
					requireFailed(t, l, image, r.Code, r.Output, c.fails...)
					return
				}
				id := l.bake(t, image, absolute(t, "testdata/userdata.pkr.hcl"), vars...)
				if got := l.cli(t, "cat", id, "/done"); got != c.want {
					t.Errorf("/done says %q", got)
				}
			})
		}
	})
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestRuncmdThatOnlyCloudInitCanRead bakes user data that is rendered on the machine: the first failing command of its
// runcmd fails the bake, on each guest.
func TestRuncmdThatOnlyCloudInitCanRead(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	const begin = "## template: jinja\n#cloud-config\nruncmd:\n- 'echo {{ v1.cloud_name }} >/done'\n"
	for suite := range strings.SplitSeq(*guests, ",") {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			image := testName(t)
			bake := func(text string) packertest.Result {
				file := filepath.Join(write(t, map[string]string{"user-data": begin + text}), "user-data")
				return l.build(t, absolute(t, "testdata/userdata.pkr.hcl"), "name="+image, "file="+file,
					"source_ami="+l.values["BAKERY_LAB_AMI_"+strings.ToUpper(suite)])
			}
			r := bake("- [sh, -c, 'exit 6']\n- echo SHOULD-NOT-RUN\n")
			requireFailed(t, l, image, r.Code, r.Output, "runcmd[1]", "exit status 6")
			r = bake("- exit 0\n- echo SHOULD-NOT-RUN\n")
			requireFailed(t, l, image, r.Code, r.Output, "runcmd[1]", "ended the shell")
			if r = bake("- cd /usr\n- 'false; pwd >>/done \\'\n- exit 0\n"); r.Code != 0 {
				t.Fatalf("exit status %d", r.Code)
			}
			if got := l.cli(t, "cat", l.onlyImage(t, image), "/done"); !strings.HasSuffix(got, "\n/usr") {
				t.Errorf("/done says %q", got)
			}
		})
	}
}

// TestLargeUserData bakes user data that is too large for EC2: it is staged and included, and its commands share one
// shell.
func TestLargeUserData(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	var part strings.Builder
	part.WriteString("#cloud-config\nruncmd:\n- 'IFS=:'\n- set -Cuf\n")
	for i := range 20 {
		random := []byte(incompressible(20000)[i*1000 : (i+1)*1000])
		fmt.Fprintf(&part, "- echo %s >>/big\n", base64.RawStdEncoding.EncodeToString(random))
	}
	source := write(t, map[string]string{"cloudinit/60_big.cfg": part.String()})
	id := l.bake(t, image, absolute(t, template), "name="+image, "source="+source)
	if lines := strings.Count(l.cli(t, "cat", id, "/big"), "\n") + 1; lines != 20 {
		t.Errorf("%d of 20 commands ran", lines)
	}
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestTwoAtOnce checks that two bakes of one source in one build do not remove each other's files.
func TestTwoAtOnce(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	source := write(t, map[string]string{"fs/opt/blob": incompressible(20000)})
	r := l.build(t, absolute(t, "testdata/two.pkr.hcl"), "name="+image, "source="+source)
	if r.Code != 0 || len(l.images(t, image+"-*")) != 2 {
		t.Errorf("exit status %d, images %v", r.Code, l.images(t, image+"-*"))
	}
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestLargeCloudConfig bakes a cloud-config that is too large for EC2, with cloud-init 20.4, 22.4 and 25.1: its modules
// run as with user data, and nothing of it is in the image.
func TestLargeCloudConfig(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	for _, release := range []string{"11", "12", "13"} {
		t.Run(release, func(t *testing.T) {
			t.Parallel()
			image := testName(t)
			noise := base64.StdEncoding.EncodeToString([]byte(incompressible(20000)))
			source := write(t, map[string]string{
				"cloudinit/10_config.cfg": "#cloud-config\nbootcmd:\n- echo booted >/booted\n" +
					"users:\n- default\n- name: carla\n  shell: /bin/sh\n" +
					"write_files:\n- path: /etc/noise\n  content: " + noise + "\n- path: /etc/last\n  content: last\n",
				"cloudinit/60_app.cfg": "#cloud-config\nruncmd:\n- id carla >/carla\n- cp /booted /step\n",
			})
			id := l.bake(t, image, absolute(t, template), "name="+image, "source="+source,
				"source_ami=resolve:ssm:/aws/service/debian/release/"+release+"/latest/amd64",
				"timeout=20m") // on a new computer, the first machine waits until the lab has made its base image
			for path, want := range map[string]string{
				"/etc/noise": noise, "/etc/last": "last", "/step": "booted", "/carla": "(carla)",
			} {
				if got := l.cli(t, "cat", id, path); !strings.Contains(got, want) {
					t.Errorf("%s says %.80q", path, got)
				}
			}
			for _, dir := range []string{"/etc/cloud", "/etc/cloud/cloud.cfg.d"} {
				before := l.cli(t, "ls", "ami-0bace0000000000"+release, dir)
				if diff := cmp.Diff(before, l.cli(t, "ls", id, dir)); diff != "" {
					t.Errorf("%s (-before +after):\n%s", dir, diff)
				}
			}
		})
	}
}
