// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
)

func TestProvisionersAreRecorded(t *testing.T) {
	src := files(t, map[string]string{
		"app.conf":            "a\n",
		"tool.sh":             "b\n",
		"conf/x":              "x\n",
		"conf/sub/y":          "y\n",
		"site.yml":            "p\n",
		"galaxy.yml":          "g\n",
		"role/tasks/main.yml": "t\n",
	})
	inline := shellBlock{inline: "echo 1\n", remote: "/tmp/script_1.sh", vars: "PACKER_BUILD_NAME='x' "}
	for name, c := range map[string]struct {
		blocks []provisioner
		want   string
	}{
		"nothing": {nil, ""},
		"inline commands": {[]provisioner{inline}, `001 provisioner 1 (shell inline)
  bakery_upload {#!/bin/sh -e|echo 1|} 0644 '/tmp/script_1.sh'
  bakery_try 'chmod 0755 /tmp/script_1.sh'
  bakery_command 'chmod +x /tmp/script_1.sh; PACKER_BUILD_NAME='\''x'\''  /tmp/script_1.sh'
  bakery_command 'rm -f /tmp/script_1.sh'
`},
		"a script with sudo, in another folder, with skip_clean": {
			[]provisioner{shellBlock{
				scripts: map[string]string{"scripts/setup.sh": "id\n"}, remote: "~/script_7.sh", skip: true,
				execute: "sudo sh -c '{{P}}'",
			}}, `001 provisioner 1 (shell setup.sh)
  bakery_upload {id|} 0644 ~/'script_7.sh'
  bakery_try 'chmod 0755 ~/script_7.sh'
  bakery_command 'sudo sh -c '\''~/script_7.sh'\'''
`,
		},
		"scripts are steps of one provisioner, with their variables in a file": {
			[]provisioner{shellBlock{
				scripts: map[string]string{"a.sh": "a\n", "b.sh": "b\n"}, remote: "/tmp/script_2.sh",
				envFile: "/tmp/varfile_22.sh", envText: "export A='1'\n", execute: ". /tmp/varfile_22.sh && {{P}}",
			}, commandOnly("true")}, `001 provisioner 1 (shell a.sh)
  bakery_upload {export A='1'|} 0644 '/tmp/varfile_22.sh'
  bakery_try 'chmod 0600 /tmp/varfile_22.sh'
  bakery_upload {a|} 0644 '/tmp/script_2.sh'
  bakery_try 'chmod 0755 /tmp/script_2.sh'
  bakery_command '. /tmp/varfile_22.sh && /tmp/script_2.sh'
  bakery_command 'rm -f /tmp/script_2.sh'
002 provisioner 1 (shell b.sh)
  bakery_upload {b|} 0644 '/tmp/script_2.sh'
  bakery_try 'chmod 0755 /tmp/script_2.sh'
  bakery_command '. /tmp/varfile_22.sh && /tmp/script_2.sh'
  bakery_command 'rm -f /tmp/script_2.sh'
  bakery_command 'rm -f /tmp/varfile_22.sh'
003 provisioner 2
  bakery_command 'true'
`,
		},
		"blocks of shell that follow one another": {
			[]provisioner{
				shellBlock{inline: "1\n", remote: "/tmp/s.sh", execute: "{{P}}"},
				shellBlock{inline: "2\n", remote: "/tmp/s.sh", execute: "{{P}}"},
				shellBlock{scripts: map[string]string{"x.sh": "3\n"}, remote: "/tmp/s.sh", skip: true,
					execute: "{{P}}"},
				shellBlock{scripts: map[string]string{"x.sh": "4\n"}, remote: "/tmp/t.sh", skip: true,
					execute: "{{P}}"},
			}, shellSteps("001 provisioner 1 (shell inline)", "#!/bin/sh -e|1|", "/tmp/s.sh", true) +
				shellSteps("002 provisioner 2 (shell inline)", "#!/bin/sh -e|2|", "/tmp/s.sh", true) +
				shellSteps("003 provisioner 3 (shell x.sh)", "3|", "/tmp/s.sh", false) +
				shellSteps("004 provisioner 4 (shell x.sh)", "4|", "/tmp/t.sh", false),
		},
		"files": {
			[]provisioner{
				fileBlock{sources: []string{src + "/app.conf", src + "/tool.sh"}, dst: "/tmp/"},
				fileBlock{sources: []string{src + "/app.conf"}, dst: "relative name"},
				fileBlock{sources: []string{src + "/conf"}, dst: "/opt"},
				fileBlock{sources: []string{src + "/conf/"}, dst: "~admin/conf"},
			}, `001 provisioner 1 (file)
  bakery_upload {a|} 0640 '/tmp/app.conf'
  bakery_upload {b|} 0750 '/tmp/tool.sh'
002 provisioner 2 (file)
  bakery_upload {a|} 0640 './relative name'
003 provisioner 3 (file)
  bakery_updir '/opt' 'conf' {d 0755 ./|d 0755 ./sub/|f 0640 {y|} ./sub/y/|f 0640 {x|} ./x/|}
004 provisioner 4 (file)
  bakery_updir ~admin/'conf' '' {d 0755 ./sub/|f 0640 {y|} ./sub/y/|f 0640 {x|} ./x/|}
`,
		},
		"ansible-local": {
			[]provisioner{ansibleLocal{staging: "/tmp/a/1", playbook: src + "/site.yml", galaxy: src + "/galaxy.yml",
				role: src + "/role"}},
			`001 provisioner 1 (ansible-local)
  bakery_command 'mkdir -p '\''/tmp/a/1'\'''
  bakery_upload {p|} 0644 '/tmp/a/1/site.yml'
  bakery_upload {g|} 0644 '/tmp/a/1/galaxy.yml'
  bakery_upload {127.0.0.1} 0644 '/tmp/a/1/packer-provisioner-ansible-local1234567890'
  bakery_command 'mkdir -p '\''/tmp/a/1/roles/role'\'''
  bakery_updir '/tmp/a/1/roles/role' '' {d 0755 ./tasks/|f 0640 {t|} ./tasks/main.yml/|}
  bakery_command 'cd /tmp/a/1 && ansible-galaxy install -r /tmp/a/1/galaxy.yml -p /tmp/a/1/roles'
  bakery_command 'cd /tmp/a/1 && ANSIBLE_FORCE_COLOR=1 PYTHONUNBUFFERED=1 ` +
				`ansible-playbook /tmp/a/1/site.yml --extra-vars "packer_build_name=x ` +
				`packer_builder_type=bakery-userdata ` +
				`packer_http_addr=ERR_HTTP_ADDR_NOT_IMPLEMENTED_BY_BUILDER -o IdentitiesOnly=yes"  -c local ` +
				`-i /tmp/a/1/packer-provisioner-ansible-local1234567890'
`,
		},
		"provisioners that run here are not counted": {
			[]provisioner{
				printsOnly("Running local shell script: /tmp/packer-shell12\nUploading this => there\n"),
				commandOnly("first"),
				printsOnly("Pausing 1m30s before the next provisioner...\n"), commandOnly("second"),
				printsOnly("Provisioning with Foo...\n"), commandOnly("third"),
				printsOnly("Running local shell script: x.sh"), commandOnly("fourth"),
			},
			"001 provisioner 1\n  bakery_command 'first'\n002 provisioner 2\n  bakery_pause 90\n  bakery_command " +
				"'second'\n" +
				"003 provisioner 3 (foo)\n  bakery_command 'third'\n004 provisioner 4\n  bakery_command 'fourth'\n",
		},
		"pauses are recorded, the last one with the step before it": {
			[]provisioner{
				printsOnly("Pausing 1.5s before the next provisioner...\nRunning local shell script: x.sh"),
				commandOnly("first"), commandOnly("second"),
				printsOnly("Pausing 1m0s after this provisioner...\nPausing 5s before the next provisioner..."),
				commandOnly("third"),
				printsOnly("Pausing 10s after this provisioner..."),
			},
			"001 provisioner 1\n  bakery_pause 2\n  bakery_command 'first'\n  bakery_command 'second'\n" +
				"002 provisioner 2\n  bakery_pause 65\n  bakery_command 'third'\n  bakery_pause 10\n",
		},
		"a provisioner that prints nothing, after a file": {
			[]provisioner{fileBlock{sources: []string{src + "/app.conf"}, dst: "/etc/x"}, commandOnly("ls")},
			"001 provisioner 1 (file)\n  bakery_upload {a|} 0640 '/etc/x'\n002 provisioner 2\n  bakery_command 'ls'\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			log, err := newHarness(t).record(c.blocks...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, text(t, log)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func shellSteps(name, content, remote string, clean bool) string {
	s := fmt.Sprintf(
		"%s\n  bakery_upload {%s} 0644 '%s'\n  bakery_try 'chmod 0755 %[3]s'\n  bakery_command '%[3]s'\n",
		name,
		content,
		remote,
	)
	if clean {
		s += fmt.Sprintf("  bakery_command 'rm -f %s'\n", remote)
	}
	return s
}

func TestTheSameContentIsStoredOnce(t *testing.T) {
	src := files(t, map[string]string{"dir/1": "same", "dir/2": "same", "3": "same", "4": "other"})
	log, err := newHarness(t).record(
		fileBlock{sources: []string{src + "/3", src + "/4"}, dst: "/tmp/"},
		fileBlock{sources: []string{src + "/dir"}, dst: "/tmp"},
	)
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := os.ReadDir(filepath.Join(log.Dir, replay, "blob"))
	if err != nil || len(blobs) != 3 { // same, other, the manifest
		t.Errorf("%d blobs, %v", len(blobs), err)
	}
	for _, b := range blobs {
		content, err := os.ReadFile(filepath.Join(log.Dir, replay, "blob", b.Name()))
		if sum := sha256.Sum256(content); err != nil || hex.EncodeToString(sum[:]) != b.Name() {
			t.Errorf("blob %s holds %q, %v", b.Name(), content, err)
		}
	}
	if log.Files != 4 || log.Bytes != 17 || log.Commands != 0 || log.Count != 2 {
		t.Errorf(
			"counted %d files of %d bytes, %d commands, %d provisioners",
			log.Files,
			log.Bytes,
			log.Commands,
			log.Count,
		)
	}
}

func TestTheUserIsInformedOnceOfTheRecording(t *testing.T) {
	b := newHarness(t)
	if _, err := b.record(
		printsOnly("Running local shell script: x"),
		shellBlock{inline: "1", remote: "/tmp/s"},
		commandOnly("true"),
	); err != nil {
		t.Fatal(err)
	}
	want := "Running local shell script: x\n" +
		"Recording the provisioners: they do not run now, the machine runs them after its launch\n" +
		"Provisioning with shell script: /tmp/packer-shell381275120\n"
	if diff := cmp.Diff(want, b.printed.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if b = newHarness(t); b.printed.Len() > 0 {
		t.Error("something was printed without a provisioner")
	}
}

func TestAnImageSourceJoinsBetweenTheStepsAroundIt(t *testing.T) {
	b := newHarness(t)
	join := bundle.Join{Source: "/src/image", Strict: true}
	upload := func() error { return b.rec.Upload(bundle.JoinPath, bytes.NewReader(join.Render()), nil) }
	if err := (commandOnly("first")).provision(b); err != nil {
		t.Fatal(err)
	}
	if err := upload(); err != nil {
		t.Fatal(err)
	}
	log, err := b.record(commandOnly("second"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Join{{Join: join, After: 1}}, log.Joined); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"001 provisioner 1", "002 provisioner 2"}, steps(log)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestAStepHasNoMoreOperationsThanTheirNamesHaveDigits(t *testing.T) {
	b := newHarness(t)
	for range maxOps + 1 {
		if _, err := b.start("true"); err != nil {
			t.Fatal(err)
		}
	}
	log, err := b.rec.Close()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"001 provisioner 1", "002 provisioner 1"}, steps(log)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// endless is a reader of a given number of bytes, which are not in memory.
type endless int64

func (e *endless) Read(p []byte) (int, error) {
	n := min(int64(len(p)), int64(*e))
	if *e -= endless(n); n == 0 {
		return 0, io.EOF
	}
	return int(n), nil
}

func TestMemoryDoesNotGrowWithAnUpload(t *testing.T) {
	rec := New(t.TempDir())
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	content := endless(256 << 20)
	if err := rec.Upload("/tmp/large", &content, nil); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	// The limit is a little more than one buffer.
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("uploading 256 MiB allocated %d bytes", grown)
	}
	if log, err := rec.Close(); err != nil || log.Bytes != 256<<20 {
		t.Errorf("%+v, %v", log, err)
	}
}

func TestProvisionersMayCallAtTheSameTime(t *testing.T) {
	rec := New(t.TempDir())
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			cmd := &packersdk.RemoteCmd{Command: fmt.Sprintf("command %d", i)}
			if err := rec.Start(context.Background(), cmd); err != nil || cmd.Wait() != 0 {
				t.Error("a command failed", err)
			}
			if err := rec.Upload(fmt.Sprintf("/tmp/%d", i), strings.NewReader("x"), nil); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	log, err := rec.Close()
	if err != nil || log.Commands != 20 || log.Files != 20 {
		t.Errorf("%+v, %v", log, err)
	}
}

func TestNothingIsRecordedAfterTheEnd(t *testing.T) {
	b := newHarness(t)
	if _, err := b.record(commandOnly("true")); err != nil {
		t.Fatal(err)
	}
	if code, err := b.run("rm -rf /"); err != nil || code != 1 {
		t.Errorf("an error-cleanup-provisioner: exit status %d, %v", code, err)
	}
	if !strings.Contains(b.printed.String(), "there is no machine to connect to") {
		t.Errorf("the reason is not printed:\n%s", b.printed)
	}
	if err := b.rec.Upload("/x", strings.NewReader(""), nil); err != nil {
		t.Errorf("the shell provisioner would try again: %v", err)
	}
	if err := b.rec.UploadDir("/x", t.TempDir(), nil); err == nil {
		t.Error("a directory was uploaded")
	}
	if err := b.rec.Download("/x", io.Discard); err == nil {
		t.Error("a file was downloaded")
	}
	log, err := b.rec.Close()
	if err != nil || log.Commands != 1 {
		t.Errorf("%+v, %v", log, err)
	}
}

func TestStopEndsARunningUpload(t *testing.T) {
	b := newHarness(t)
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = b.rec.Upload("/tmp/x", r, nil)
	}()
	_, _ = w.Write([]byte("some"))
	b.rec.Stop(context.Canceled)
	go func() { _, _ = w.Write([]byte("more")) }()
	<-done
	if log, err := b.rec.Close(); err != nil || log.Files != 0 {
		t.Errorf("%+v, %v", log, err)
	}
	if left, err := os.ReadDir(b.rec.blobs.unfinished); err != nil || len(left) > 0 {
		t.Errorf("left unfinished: %v, %v", left, err)
	}
}

func TestStartReturnsTheErrorOfItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := New(t.TempDir()).Start(ctx, &packersdk.RemoteCmd{Command: "true"}); err == nil {
		t.Error("a cancelled command was recorded")
	}
}

// TestFactsAreRecordedForTheMachine checks that what holds the id or the address of the machine is recorded, and that
// the machine is told where to put them in.
func TestFactsAreRecordedForTheMachine(t *testing.T) {
	id, host := Placeholder(FactID), Placeholder(FactHost)
	dir := t.TempDir()
	contents := map[string]string{"pkr-file-content1": "id = " + id, "own": "id = " + id, "tree/x": "x"}
	for name, content := range contents {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file := func(name, dst string) provisioner { return fileBlock{sources: []string{dir + "/" + name}, dst: dst} }
	inline := func(text, vars string) provisioner {
		return shellBlock{inline: text, remote: "/tmp/s.sh", vars: vars, execute: vars + "{{P}}", skip: true}
	}
	shell := func(text string) string {
		return "  bakery_upload {#!/bin/sh -e|" + text + "} 0644 '/tmp/s.sh'\n  bakery_try 'chmod 0755 /tmp/s.sh'\n"
	}
	for name, c := range map[string]struct {
		block provisioner
		want  string
		facts bool
	}{
		"a command": {commandOnly("echo " + id + host),
			"001 provisioner 1\n  # facts:\nbakery_command 'echo " + id + host + "'\n", true},
		"an inline script": {inline("echo "+host, ""), "001 provisioner 1 (shell inline)\n" +
			"  # facts: {#!/bin/sh -e|echo " + host + "}\nbakery_upload" +
			strings.TrimPrefix(shell("echo "+host), "  bakery_upload") + "  bakery_command '/tmp/s.sh'\n", true},
		"a variable": {inline("true", "I="+id+" "), "001 provisioner 1 (shell inline)\n" + shell("true") +
			"  # facts:\nbakery_command 'I=" + id + " /tmp/s.sh'\n", true},
		"a content": {file("pkr-file-content1", "/etc/x"), "001 provisioner 1 (file)\n  # facts: {id = " + id +
			"}\nbakery_upload {id = " + id + "} 0644 '/etc/x'\n", true},
		"a destination": {file("tree/x", "/etc/"+id), "001 provisioner 1 (file)\n" +
			"  # facts:\nbakery_upload {x} 0644 '/etc/" + id + "'\n", true},
		"a directory's destination": {file("tree/", "/etc/"+id), "001 provisioner 1 (file)\n" +
			"  # facts:\nbakery_updir '/etc/" + id + "' '' {f 0644 {x} ./x/|}\n", true},
		"a text of another provisioner": {calls(func(b *harness) error {
			b.ui.Say("Provisioning with chef-solo")
			return b.rec.Upload("/tmp/node.json", strings.NewReader(id), nil)
		}), "001 provisioner 1 (chef-solo)\n" +
			"  # facts: {" + id + "}\nbakery_upload {" + id + "} 0644 '/tmp/node.json'\n", true},
		"a file of the user's own": {file("own", "/etc/x"),
			"001 provisioner 1 (file)\n  bakery_upload {id = " + id + "} 0644 '/etc/x'\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			log, err := newHarness(t).record(c.block)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, text(t, log)); diff != "" || log.Facts != c.facts {
				t.Errorf("facts: %v, want %v; -want +got:\n%s", log.Facts, c.facts, diff)
			}
		})
	}
}

// TestNothingIsRecordedInSilence checks the warnings about provisioners that ran and recorded nothing.
func TestNothingIsRecordedInSilence(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"empty", "full/sub", "tree"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	upload := func(src string) provisioner { return fileBlock{sources: []string{dir + "/" + src}, dst: "/opt"} }
	shellLocal := printsOnly("Running local shell script: /tmp/packer-shell1\nsent\n")
	for name, c := range map[string]struct {
		blocks []provisioner
		want   []string // of each warning, a part
		local  int
	}{
		"shell-local alone": {[]provisioner{shellLocal, shellLocal}, nil, 2},
		"a scan over SSH that goes on after its failure": {
			[]provisioner{printsOnly("Running Mondoo cnspec packer provisioner (Version: 1, Build: 2)"),
				commandOnlyAfter("Provisioning with Foo")},
			[]string{"the provisioner cnspec ran before there is a machine, and recorded nothing"}, 0},
		"the last one": {[]provisioner{commandOnly("true"), printsOnly("Provisioning with Testinfra...")},
			[]string{"the provisioner testinfra ran"}, 0},
		"ansible through its own connection": {
			[]provisioner{shellLocal, printsOnly("Provisioning with Ansible...\nExecuting Ansible: x\n"), shellLocal},
			[]string{"the provisioner ansible ran before there is a machine, and recorded nothing for it: nothing of " +
				"it is in the image. Use ansible-local"}, 2},
		"what a local script prints": {
			[]provisioner{printsOnly("Running local shell script: x\nProvisioning with Terraform\n")}, nil, 1},
		"what a puppet run prints": {
			[]provisioner{script(puppet), printsOnly("Provisioning with shell script: x")}, nil, 0},
		"an empty directory": {[]provisioner{upload("empty/")},
			[]string{"provisioner 1 (file) uploads nothing to /opt: there is nothing in the directory " + dir +
				"/empty/"}, 0},
		"an empty directory by its name": {[]provisioner{upload("empty")}, nil, 0},
		"a directory of directories":     {[]provisioner{upload("full/")}, nil, 0},
		"a join": {[]provisioner{calls(func(b *harness) error {
			return b.rec.Upload(bundle.JoinPath, strings.NewReader(`{"source":"/x"}`), nil)
		})}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			log, err := newHarness(t).record(c.blocks...)
			if err != nil {
				t.Fatal(err)
			}
			said := strings.Join(log.Warnings, "\n")
			for _, want := range c.want {
				if !strings.Contains(said, want) {
					t.Errorf("no warning says %q:\n%s", want, said)
				}
			}
			if len(log.Warnings) != len(c.want) || log.Local != c.local {
				t.Errorf("%d scripts of shell-local and %d warnings:\n%s", log.Local, len(log.Warnings), said)
			}
		})
	}
}

// commandOnlyAfter is a provisioner that prints its first line and runs a command.
func commandOnlyAfter(line string) provisioner {
	return calls(func(b *harness) error {
		b.ui.Say(line)
		return commandOnly("true").provision(b)
	})
}
