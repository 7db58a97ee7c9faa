// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// TestDemo runs what make demo runs: it bakes example/hello, boots the image as a new machine and checks it. The script
// has a lab of its own, because it searches the disks of all images.
func TestDemo(t *testing.T) {
	t.Parallel()
	machineSlots.acquire(t)
	homes, err := labHomes(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	// The script makes the base image if no other test has: it needs this machine's way to the distribution's mirror.
	env := append(slices.Clip(hostEnvironment), homes...)
	r := packertest.Run(t, packertest.Root(), env, filepath.Join(packertest.Root(), "tools", "demo.sh"))
	t.Log(r.Output)
	if r.Code != 0 || !strings.Contains(r.Output, "is baked, booted and verified") {
		t.Fatalf("tools/demo.sh: exit status %d", r.Code)
	}
}

// TestWeb installs packages from the distribution's real mirror, and checks that the booted image answers HTTP.
func TestWeb(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	id := l.bakeExample(t, image, "web/web.pkr.hcl", "ami_name="+image)
	instance := l.boot(t, id, "#cloud-config\n")
	page, err := os.ReadFile(example("web/image/fs/srv/web/index.html"))
	if err != nil {
		t.Fatal(err)
	}
	// nginx is part of multi-user.target, which may be a moment behind cloud-init.
	got := l.sh(t, instance, "for i in $(seq 120); do curl -sf http://127.0.0.1/ && exit 0; sleep 1; done; "+
		"exit 1")
	if got != strings.TrimSpace(string(page)) {
		t.Errorf("the machine answered %q", got)
	}
}

// TestLarge bakes an fs/ that is too large for user data, and so is staged.
func TestLarge(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image := testName(t)
	id := l.bakeExample(t, image, "large/large.pkr.hcl", "ami_name="+image)
	if list := l.cli(t, "ls", id, "/opt/large"); !strings.Contains(list, "README") {
		t.Errorf("/opt/large holds\n%s", list)
	}
	if left := l.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestTwoStage prepares a bundle without any rights in AWS, and bakes it where the sources are not.
func TestTwoStage(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	image, out := testName(t), filepath.Join(t.TempDir(), "out")
	packer := packertest.Built(t).Packer
	r := packertest.Run(t, t.TempDir(), packertest.Env(t), packer, "build", "-var", "out="+out,
		example("two-stage/prepare.pkr.hcl"))
	if r.Code != 0 {
		t.Fatalf("preparing: exit status %d\n%s", r.Code, r.Output)
	}
	// Only the folder goes from the first stage to the second.
	elsewhere := filepath.Join(t.TempDir(), "bundle")
	if err := os.CopyFS(elsewhere, os.DirFS(out)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(out); err != nil {
		t.Fatal(err)
	}
	id := l.bakeExample(t, image, "two-stage/bake.pkr.hcl", "bundle="+elsewhere, "ami_name="+image)
	if got := l.cli(t, "cat", id, "/etc/two-stage.conf"); got == "" {
		t.Error("/etc/two-stage.conf is empty")
	}
}

// TestJenkins runs the two scripts of example/jenkins.
func TestJenkins(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	source := write(t, map[string]string{
		"ami.env":                "NAME='My App'\nVERSION=1.2.3\n",
		"cloudinit/60_app.yml":   "#cloud-config\nruncmd:\n- echo app >>/app\n",
		"fs/opt/app/blob":        incompressible(20000),
		"script/compile.sh":      "#!/bin/sh\necho BUILT=yes\nmkdir -p fs/opt/app && echo compiled >fs/opt/app/made\n",
		"script/install.sh":      "#!/bin/sh\ncat /opt/app/made >>/app\n",
		"readme.md":              "An application\n",
		"cloudinit/70_script.sh": "#!/bin/sh\necho script >>/app\n",
	})
	dir := t.TempDir()
	prefix := "s3://" + l.values["BAKERY_LAB_BUCKET"] + "/" + testName(t)
	s3url := prefix + "/fs.tgz"
	// The script leaves the tarball in the bucket.
	defer l.aws(t, nil, "s3", "rm", "--recursive", prefix)
	env := append(l.environ(t), "S3URL="+s3url, "AWSREGION="+l.values["AWS_REGION"])
	r := packertest.Run(t, dir, env, example("jenkins/build-create-image-userdata.sh"), source, "out")
	if r.Code != 0 {
		t.Fatalf("build-create-image-userdata.sh: exit status %d\n%s", r.Code, r.Output)
	}
	name := "app-" + time.Now().Format("150405.000000")
	rights := rightsOf(t, "jenkins/bake.pkr.hcl", "staging_url="+s3url)
	env = append(l.holding(t, rights...).environ(t),
		"BUILDAMI_BASEAMI="+l.values["BAKERY_LAB_AMI"],
		"BUILDAMI_SECURITYGROUPS="+l.values["BAKERY_LAB_SECURITY_GROUP"],
		"BUILDAMI_SUBNET="+l.values["BAKERY_LAB_SUBNET"], "BUILDAMI_OUTPUT=out.env",
		"BUILDAMI_S3URL="+s3url, "BUILDAMI_S3REGION="+l.values["AWS_REGION"], "BUILDAMI_FSTGZ=out/fs.tgz")
	machineSlots.acquire(t)
	r = packertest.Run(t, dir, env, example("jenkins/build-ami.sh"), "out/userdata.gz", name, "1.2.3")
	l.bakes.add(t.Name(), r.Output)
	t.Log(r.Output)
	if r.Code != 0 {
		t.Fatalf("build-ami.sh: exit status %d", r.Code)
	}
	vars, err := os.ReadFile(filepath.Join(dir, "out.env"))
	if err != nil {
		t.Fatal(err)
	}
	images := l.images(t, name+"-1.2.3")
	if len(images) != 1 || !strings.Contains(string(vars), images[0]) {
		t.Fatalf("%v was registered; out.env says\n%s", images, vars)
	}
	if got := l.cli(t, "cat", images[0], "/app"); got != "compiled\napp\nscript" {
		t.Errorf("the steps left %q", got)
	}
}

// jenkinsTimeout checks that build-ami.sh exits with 4 when the machine takes too long.
func jenkinsTimeout(t *testing.T, l *lab) {
	t.Helper()
	dir := t.TempDir()
	source := write(t, map[string]string{"cloudinit/60_app.cfg": "#cloud-config\nruncmd: [sleep 1000]\n"})
	r := packertest.Run(t, dir, l.environ(t), example("jenkins/build-create-image-userdata.sh"), source, "out")
	if r.Code != 0 {
		t.Fatalf("build-create-image-userdata.sh: exit status %d\n%s", r.Code, r.Output)
	}
	env := append(l.environ(t), "BUILDAMI_BASEAMI="+l.values["BAKERY_LAB_AMI"], "BUILDAMI_TIMEOUT_INSTANCE=120",
		"BUILDAMI_SECURITYGROUPS="+l.values["BAKERY_LAB_SECURITY_GROUP"],
		"BUILDAMI_SUBNET="+l.values["BAKERY_LAB_SUBNET"])
	r = packertest.Run(t, dir, env, example("jenkins/build-ami.sh"), "out/userdata.gz", testName(t), "1")
	l.bakes.add(t.Name(), r.Output)
	if r.Code != 4 {
		t.Errorf("build-ami.sh: exit status %d\n%s", r.Code, r.Output)
	}
}
