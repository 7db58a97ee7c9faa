// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// plantedSecrets is a template with a different secret in each place.
type plantedSecrets struct {
	*lab
	secretSearch

	dir, ami string
	planted  map[string]string
	env      []string
	kinds    []string // the sources of the template that are built
	present  string   // a text that is in the image and must be found
}

// plant makes a random secret and adds it under a name.
func (p *plantedSecrets) plant(t *testing.T, name string) string {
	t.Helper()
	secret := "planted+" + rand.Text()
	p.planted[name] = secret
	p.add(t, name, encodings(secret)...)
	return secret
}

// plantedSecrets writes the Image-Source, the variables and the credentials.
func (l *lab) plantedSecrets(t *testing.T, suite string) *plantedSecrets {
	t.Helper()
	p := &plantedSecrets{
		lab: l, planted: map[string]string{}, kinds: []string{"bundle", "text"},
		ami: l.values["BAKERY_LAB_AMI_"+strings.ToUpper(suite)], present: "present+" + rand.Text(),
	}
	p.dir = write(t, map[string]string{
		"image/ami.env":   "NAME=planted\nVERSION=1\nTOKEN=" + p.plant(t, "ami.env") + "\n",
		"image/readme.md": "A test.\n",
		"image/script/compile.sh": "#!/bin/sh\necho PASSWORD=" + p.plant(t, "what compile.sh prints") + "\n" +
			"printf '#cloud-config\\nruncmd:\\n- test -n " + p.plant(t, "runcmd") + "\\n' >cloudinit/70_made.cfg\n",
		"image/script/install.sh": "#!/bin/sh\ntest -n '" + p.plant(t, "install.sh") + "' && sync\n",
		"image/cloudinit/10_hook.sh.cfg": "#cloud-boothook\n#!/bin/sh\ntest -n '" + p.plant(t, "a boothook") +
			"'\n",
		"image/cloudinit/20_users.cfg": "#cloud-config\nusers:\n- default\n- name: planted\n  lock_passwd: false\n" +
			"  plain_text_passwd: " +
			p.plant(t, "a password of users") + "\nwrite_files:\n- path: /run/planted\n  content: " +
			p.plant(t, "write_files") + "\n",
		"image/fs/opt/present":   p.present,
		"image/fs/opt/present64": base64.StdEncoding.EncodeToString([]byte("x" + p.present + "xx")),
		"uploaded/planted":       p.plant(t, "an uploaded directory"),
	})
	for _, name := range []string{"user_data", "environment_vars", "inline", "env_var_file", "content", "shell_local",
		"printed", "freed", "overwritten"} {
		p.plant(t, name)
	}
	p.variables(t)
	p.credentials(t)
	return p
}

// variables writes the file of variables: an environment would be the user's own.
func (p *plantedSecrets) variables(t *testing.T) {
	t.Helper()
	text, err := json.Marshal(map[string]any{"planted": p.planted, "dir": p.dir, "source_ami": p.ami})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.dir, "planted.pkrvars.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// credentials writes a file with temporary credentials.
func (p *plantedSecrets) credentials(t *testing.T) {
	t.Helper()
	var role struct{ AccessKeyId, SecretAccessKey, SessionToken string } //nolint:revive,staticcheck // the names of STS
	p.aws(t, &role, "sts", "assume-role", "--role-arn", "arn:aws:iam::123456789012:role/bakes", "--role-session-name",
		"planted",
		"--query", "Credentials")
	p.add(t, "the secret key", encodings(role.SecretAccessKey)...)
	p.add(t, "the session token", encodings(role.SessionToken)...)
	file := filepath.Join(p.dir, "credentials")
	text := "[planted]\naws_access_key_id = " + role.AccessKeyId + "\naws_secret_access_key = " + role.SecretAccessKey +
		"\naws_session_token = " + role.SessionToken + "\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p.env = slices.DeleteFunc(p.environ(t), func(v string) bool {
		return strings.HasPrefix(v, "AWS_ACCESS_KEY_ID=") || strings.HasPrefix(v, "AWS_SECRET_ACCESS_KEY=")
	})
	p.env = append(p.env, "AWS_SHARED_CREDENTIALS_FILE="+file, "PACKER_LOG=1",
		"PACKER_LOG_PATH="+filepath.Join(p.dir, "packer.log"))
}

// build runs packer and searches what it prints and writes outside the account.
func (p *plantedSecrets) build(t *testing.T, name string, vars ...string) packertest.Result {
	t.Helper()
	argv := []string{"-var-file", filepath.Join(p.dir, "planted.pkrvars.json"), "-var", "name=" + name}
	for _, v := range vars {
		argv = append(argv, "-var", v)
	}
	argv = append(argv, "-only=bakery-userdata."+strings.Join(p.kinds, ",bakery-userdata."))
	stop := p.watchProcesses()
	r := p.packerBuild(t, p.dir, p.env, append(argv, absolute(t, "testdata/secrets.pkr.hcl"))...)
	p.missing(t, "processes", stop())
	p.signed(t, r.Output)
	p.missing(t, "what packer says", p.in([]byte(r.Output)))
	if strings.Count(r.Output, "it prints <sensitive>, as no script should") < len(p.kinds) {
		t.Error("packer does not show what the machines print, without the secret in it")
	}
	files := []string{"packer.log", "manifest.json"}
	if slices.Contains(p.kinds, "bundle") {
		files = append(files, "output", "log")
	}
	for _, file := range files {
		// a bake that fails need not write it
		if _, err := os.Stat(filepath.Join(p.dir, file)); err == nil || r.Code == 0 {
			p.missing(t, file, p.inFile(t, filepath.Join(p.dir, file)))
		}
	}
	return r
}

// missing reports secrets that were found.
func (p *plantedSecrets) missing(t *testing.T, where string, found []string) {
	t.Helper()
	for _, what := range found {
		t.Errorf("%s: %s", where, what)
	}
}

// signed adds what only the bake knows: its compressed user data and the signatures of the URLs in it. It searches the
// console of each machine.
func (p *plantedSecrets) signed(t *testing.T, output string) {
	t.Helper()
	machines := baked.FindAllStringSubmatch(output, -1)
	if len(machines) != len(p.kinds) {
		t.Fatalf("packer tells of %d machines", len(machines))
	}
	for _, names := range machines {
		var userData string
		p.aws(t, &userData, "ec2", "describe-instance-attribute", "--instance-id", names[1], "--attribute", "userData",
			"--query", "UserData.Value")
		raw, err := base64.StdEncoding.DecodeString(userData)
		if err != nil || len(raw) < 1024 {
			t.Fatalf("the user data is of %d bytes: %v", len(raw), err)
		}
		for at := 512; at+64 <= len(raw); at += 1024 { // compressed: any part of it is like no other bytes
			p.add(t, "the compressed user data", string(raw[at:at+64]))
		}
		document, err := guest.Decompress(raw)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(document, []byte("#include-once")) && p.in(document) == nil {
			t.Error("none of the secrets is in the user data")
		}
		signed := signatures.FindAllSubmatch(document, -1)
		if len(signed) == 0 {
			t.Error("the user data holds no signed URL")
		}
		for _, s := range signed {
			p.add(t, "the signature of a URL", encodings(string(s[1]))...)
		}
	}
	for _, names := range machines {
		p.missing(t, "the console", p.in([]byte(p.aws(t, nil, "ec2", "get-console-output", "--instance-id", names[1],
			"--query", "Output"))))
	}
}

// account searches everything that the account shows.
func (p *plantedSecrets) account(t *testing.T) {
	t.Helper()
	for _, what := range []string{"images", "snapshots", "instances", "volumes", "security-groups",
		"network-interfaces"} {
		args := []string{"ec2", "describe-" + what}
		if what == "images" {
			args = append(args, "--owners", "self")
		}
		p.missing(t, "describe-"+what, p.in([]byte(p.aws(t, nil, args...))))
	}
	if left := p.leftovers(t); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// snapshot returns the file with the blocks of an image's disk.
func (p *plantedSecrets) snapshot(t *testing.T, image string) string {
	t.Helper()
	var snapshots []string
	p.aws(t, &snapshots, "ec2", "describe-images", "--image-ids", image, "--query",
		"Images[].BlockDeviceMappings[].Ebs.SnapshotId")
	if len(snapshots) != 1 {
		t.Fatalf("%s has %d snapshots", image, len(snapshots))
	}
	_, home, _ := strings.Cut(p.homes[0], "=")
	return filepath.Join(home, "images", snapshots[0]+".img")
}

// disk searches every block of an image, also those of no file.
func (p *plantedSecrets) disk(t *testing.T, image string) {
	t.Helper()
	p.missing(t, image, p.inFile(t, p.snapshot(t, image)))
}

// checkScannerFinds checks that the search finds what is in the image.
func (p *plantedSecrets) checkScannerFinds(t *testing.T, image string) {
	t.Helper()
	known := &plantedSecrets{lab: p.lab}
	for i, form := range encodings(p.present) {
		known.add(t, string(rune('a'+i)), form)
	}
	if found := known.inFile(t, p.snapshot(t, image)); len(found) < 2 {
		t.Errorf("of what is in the image, only this is found: %v", found)
	}
}

// delayCloudInit makes an image in which cloud-init's second stage begins 40 seconds after its first, when the kernel
// has written the files of the first stage to the disk. The lab's machines are containers, where cloud-init reads the
// user data in its second stage only, so this test cannot see what the first stage leaves on EC2.
func (p *plantedSecrets) delayCloudInit(t *testing.T) {
	t.Helper()
	const late = "[Service]\nExecStartPre=/bin/sleep 40\n"
	source := write(t, map[string]string{
		"fs/etc/systemd/system/cloud-init.service.d/gap.conf":         late,
		"fs/etc/systemd/system/cloud-init-network.service.d/gap.conf": late, // its name from 24.3 on
	})
	image := testName(t)
	p.ami = p.bake(t, image, absolute(t, template), "name="+image, "source="+source, "source_ami="+p.ami)
	p.variables(t)
}

// checkFreeBlocks bakes with secrets in free blocks, which only wipe_free_space overwrites: with it, and without, to
// check that they are there. One machine at a time, because each fills its disk.
func (p *plantedSecrets) checkFreeBlocks(t *testing.T) {
	t.Helper()
	p.delayCloudInit(t)
	p.kinds = []string{"text"}
	for _, wipe := range []string{"false", "true"} {
		name := testName(t)
		if r := p.build(t, name, "frees=true", "wipe="+wipe, "timeout=15m"); r.Code != 0 {
			t.Fatal("the bake failed")
		}
		found := p.inFile(t, p.snapshot(t, p.images(t, name+"-text")[0]))
		if wipe == "false" && len(found) == 0 {
			t.Error("there is nothing in free blocks that wipe_free_space would be for")
		}
		for _, what := range found {
			if wipe == "true" || !strings.HasPrefix(what, "freed in ") {
				t.Errorf("with wipe_free_space = %s, there is in the blocks of the image: %s", wipe, what)
			}
		}
	}
}

// TestSecrets puts a secret in every place of a template, bakes two images, and one that fails, and searches for all
// secrets in everything that exists during the bake and after it.
func TestSecrets(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	for _, suite := range part(strings.Split(*guests, ",")) {
		t.Run(suite, func(t *testing.T) {
			t.Parallel()
			p := l.plantedSecrets(t, suite)
			name := testName(t)
			if r := p.build(t, name); r.Code != 0 {
				t.Fatal("the bakes failed")
			}
			p.account(t)
			for _, kind := range []string{"bundle", "text"} {
				images := l.images(t, name+"-"+kind)
				if len(images) != 1 {
					t.Fatalf("%d images of %s", len(images), kind)
				}
				p.disk(t, images[0])
				if kind == "bundle" {
					p.checkScannerFinds(t, images[0])
				}
			}
			if r := p.build(t, name+"-fails", "fails=exit 7"); r.Code == 0 {
				t.Error("a bake whose provisioner fails succeeds")
			} else if strings.Count(r.Output, "exit status 7") < 2 {
				t.Error("the bakes did not fail for their provisioner")
			}
			p.account(t)
			if *full {
				p.checkFreeBlocks(t)
			}
		})
	}
}
