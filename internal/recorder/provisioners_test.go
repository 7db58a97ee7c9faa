// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// harness is a recorder with the Ui for provisioners, and what was printed on it.
type harness struct {
	t       *testing.T
	rec     *Recorder
	ui      packersdk.Ui
	printed *bytes.Buffer
}

func newHarness(t *testing.T) *harness {
	b := &harness{t: t, rec: New(t.TempDir()), printed: new(bytes.Buffer)}
	b.ui = b.rec.UI(&packersdk.BasicUi{Writer: b.printed, ErrorWriter: b.printed, PB: &packersdk.NoopProgressTracker{}})
	return b
}

// errRetry stands for errors after which core's shell provisioner tries again, every two seconds for five minutes.
var errRetry = errors.New("tried again for five minutes")

// run starts a command as most provisioners do, and shows its output.
func (b *harness) run(command string) (int, error) {
	cmd := &packersdk.RemoteCmd{Command: command}
	if err := cmd.RunWithUi(context.Background(), b.rec, b.ui); err != nil {
		return 0, err
	}
	return cmd.ExitStatus(), nil
}

// start starts a command whose output is not read.
func (b *harness) start(command string) (int, error) {
	cmd := &packersdk.RemoteCmd{Command: command}
	if err := b.rec.Start(context.Background(), cmd); err != nil {
		return 0, err
	}
	return cmd.Wait(), nil
}

// shellBlock makes the calls of core's shell provisioner, packer 1.15.4.
type shellBlock struct {
	inline   string            // else scripts
	scripts  map[string]string // by name, in the order of names
	remote   string
	vars     string // as execute_command has them
	envFile  string // where use_env_var_file puts it, with its content
	envText  string
	execute  string // execute_command; {{P}} is the path
	skip     bool   // skip_clean
	validity []int  // valid_exit_codes
}

func (s shellBlock) provision(b *harness) error {
	names, scripts := sortedNames(s.scripts), s.scripts
	if s.inline != "" {
		names, scripts = []string{
			"/tmp/packer-shell381275120",
		}, map[string]string{
			"/tmp/packer-shell381275120": "#!/bin/sh -e\n" + s.inline,
		}
	}
	if s.envFile != "" {
		if err := b.rec.Upload(s.envFile, strings.NewReader(s.envText), nil); err != nil {
			return errRetry
		}
		if _, err := b.start("chmod 0600 " + s.envFile); err != nil {
			return errRetry
		}
	}
	for _, name := range names {
		b.ui.Say("Provisioning with shell script: " + name)
		if err := s.script(b, scripts[name]); err != nil {
			return err
		}
	}
	if !s.skip {
		return s.remove(b, s.envFile)
	}
	return nil
}

func (s shellBlock) script(b *harness, content string) error {
	if err := b.rec.Upload(s.remote, strings.NewReader(content), nil); err != nil {
		return errRetry
	}
	if _, err := b.start("chmod 0755 " + s.remote); err != nil {
		return errRetry
	}
	execute := s.execute
	if execute == "" {
		execute = "chmod +x {{P}}; " + s.vars + " {{P}}"
	}
	code, err := b.run(strings.ReplaceAll(execute, "{{P}}", s.remote))
	if err != nil {
		return errRetry
	}
	valid := code == 0 && len(s.validity) == 0
	for _, v := range s.validity {
		valid = valid || v == code
	}
	if !valid {
		return fmt.Errorf("Script exited with non-zero exit status: %d. Allowed exit codes are: %v", code, s.validity)
	}
	if s.skip {
		return nil
	}
	return s.remove(b, s.remote)
}

func (shellBlock) remove(b *harness, file string) error {
	code, err := b.start("rm -f " + file)
	if err != nil || code != 0 {
		return errRetry
	}
	return nil
}

func sortedNames(scripts map[string]string) []string {
	var names []string
	for name := range scripts {
		names = append(names, name)
	}
	// The names of scripts in these tests differ in one letter.
	for i := range names {
		for j := range names[:i] {
			if names[i] < names[j] {
				names[i], names[j] = names[j], names[i]
			}
		}
	}
	return names
}

// fileBlock makes the calls of core's file provisioner, packer 1.15.4.
type fileBlock struct {
	sources  []string
	dst      string
	download bool
}

func (f fileBlock) provision(b *harness) error {
	for _, src := range f.sources {
		if f.download {
			b.ui.Say(fmt.Sprintf("Downloading %s => %s", src, f.dst))
			if strings.HasSuffix(src, "/") {
				return b.rec.DownloadDir(src, f.dst, nil)
			}
			return b.rec.Download(src, io.Discard)
		}
		b.ui.Say(fmt.Sprintf("Uploading %s => %s", src, f.dst))
		if err := f.upload(b, src); err != nil {
			b.ui.Error(fmt.Sprintf("Upload failed: %s", err))
			return err
		}
	}
	return nil
}

func (f fileBlock) upload(b *harness, src string) error {
	info, err := os.Stat(src)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return b.rec.UploadDir(f.dst, src, nil)
	}
	file, err := os.Open(src)
	if err != nil {
		return err
	}
	defer file.Close()
	dst := f.dst
	if strings.HasSuffix(dst, "/") {
		dst += filepath.Base(src)
	}
	return b.rec.Upload(dst, b.ui.TrackProgress(filepath.Base(src), 0, info.Size(), file), &info)
}

// ansibleLocal makes the calls of ansible-local of packer-plugin-ansible 1.1, with a role and a galaxy file.
type ansibleLocal struct {
	staging, playbook, galaxy, role string
}

func (a ansibleLocal) provision(b *harness) error {
	const inventory = "packer-provisioner-ansible-local1234567890"
	b.ui.Say("Provisioning with Ansible...")
	b.ui.Message("Creating Ansible staging directory...") //nolint:staticcheck // as it does
	if err := a.mkdir(b, a.staging); err != nil {
		return err
	}
	for _, f := range []struct{ line, src, dst string }{
		{"Uploading main Playbook file...", a.playbook, path.Base(a.playbook)},
		{"Uploading galaxy file...", a.galaxy, path.Base(a.galaxy)},
		{"Uploading inventory file...", "", inventory},
	} {
		b.ui.Message(f.line) //nolint:staticcheck // as it does
		content := io.Reader(strings.NewReader("127.0.0.1"))
		if f.src != "" {
			text, err := os.ReadFile(f.src)
			if err != nil {
				return err
			}
			content = bytes.NewReader(text)
		}
		if err := b.rec.Upload(a.staging+"/"+f.dst, content, nil); err != nil {
			return err
		}
	}
	b.ui.Message("Uploading role directories...") //nolint:staticcheck // as it does
	role := a.staging + "/roles/" + path.Base(a.role)
	if err := a.mkdir(b, role); err != nil {
		return err
	}
	if err := b.rec.UploadDir(role, a.role+"/", nil); err != nil {
		return err
	}
	for _, command := range []string{
		fmt.Sprintf("cd %s && ansible-galaxy install -r %[1]s/%s -p %[1]s/roles", a.staging, path.Base(a.galaxy)),
		fmt.Sprintf("cd %[1]s && ANSIBLE_FORCE_COLOR=1 PYTHONUNBUFFERED=1 ansible-playbook %[1]s/%[2]s "+
			"--extra-vars \"packer_build_name=x "+
			"packer_builder_type=bakery-userdata packer_http_addr=ERR_HTTP_ADDR_NOT_IMPLEMENTED_BY_BUILDER -o "+
			"IdentitiesOnly=yes\"  "+
			"-c local -i %[1]s/%[3]s", a.staging, path.Base(a.playbook), inventory),
	} {
		b.ui.Message("Executing Ansible: " + command) //nolint:staticcheck // as it does
		if code, err := b.run(command); err != nil || code != 0 {
			return fmt.Errorf("non-zero exit status: %d, %w", code, err)
		}
	}
	return nil
}

func (ansibleLocal) mkdir(b *harness, dir string) error {
	b.ui.Message("Creating directory: " + dir) //nolint:staticcheck // as it does
	if code, err := b.run("mkdir -p '" + dir + "'"); err != nil || code != 0 {
		return fmt.Errorf("non-zero exit status: %d, %w", code, err)
	}
	return nil
}

// commandOnly is a provisioner that prints nothing and runs a command.
type commandOnly string

func (s commandOnly) provision(b *harness) error {
	if code, err := b.run(string(s)); err != nil || code != 0 {
		return fmt.Errorf("exit status %d, %w", code, err)
	}
	return nil
}

// printsOnly is a provisioner that runs locally and only prints lines.
type printsOnly string

func (s printsOnly) provision(b *harness) error {
	for line := range strings.Lines(string(s)) {
		b.ui.Say(strings.TrimSuffix(line, "\n"))
	}
	return nil
}

type provisioner interface{ provision(b *harness) error }

// record runs provisioners as core does: until one fails.
func (b *harness) record(all ...provisioner) (*Log, error) {
	b.t.Helper()
	var failed error
	for _, p := range all {
		if failed = p.provision(b); failed != nil {
			break
		}
	}
	log, err := b.rec.Close()
	if err == nil && failed != nil {
		b.t.Fatalf("a provisioner failed, but the recorder returned no error: %v", failed)
	}
	return log, err
}

// files writes files below a new directory, those with the ending .sh executable, and returns the directory.
func files(t *testing.T, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range contents {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		mode := os.FileMode(0o640)
		if strings.HasSuffix(name, ".sh") {
			mode = 0o750
		}
		if err := os.WriteFile(file, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// text returns a recording for comparison: each step with its operations, blobs replaced by their contents.
func text(t *testing.T, log *Log) string {
	t.Helper()
	root := filepath.Join(log.Dir, replay)
	var s strings.Builder
	for _, p := range log.Provisioners {
		fmt.Fprintf(&s, "%s %s\n", p.Dir, p.Name)
		ops, err := os.ReadDir(filepath.Join(root, p.Dir))
		if err != nil {
			t.Fatal(err)
		}
		for i, op := range ops {
			if want := fmt.Sprintf("%04d", i+1); op.Name() != want {
				t.Errorf("operation %s of step %s is called %s", want, p.Dir, op.Name())
			}
			content, err := os.ReadFile(filepath.Join(root, p.Dir, op.Name()))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&s, "  %s\n", readable(t, root, string(content)))
		}
	}
	return s.String()
}

func readable(t *testing.T, root, op string) string {
	t.Helper()
	blobs, err := os.ReadDir(filepath.Join(root, "blob"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	for range 2 { // a manifest contains names of blobs too
		for _, b := range blobs {
			content, err := os.ReadFile(filepath.Join(root, "blob", b.Name()))
			if err != nil {
				t.Fatal(err)
			}
			op = strings.ReplaceAll(op, b.Name(), fmt.Sprintf("{%s}", strings.ReplaceAll(string(content), "\n", "|")))
		}
	}
	return strings.TrimSuffix(op, "\n")
}
