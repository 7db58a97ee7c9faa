// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// imageSource writes an Image-Source with a file, a command, and the files in more.
func imageSource(t *testing.T, more map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "image")
	all := map[string]string{"fs/etc/hello.conf": "hello\n",
		"cloudinit/60_app.cfg": "#cloud-config\nruncmd: [\"true\"]\n"}
	maps.Copy(all, more)
	for name, content := range all {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o755))
	}
	return dir
}

// answer is the output and the exit status of a command.
type answer struct {
	stdout, stderr string
	status         int
	err            error
}

// fake is a machine. Commands that special does not handle succeed and print nothing.
type fake struct {
	special  func(command string) (answer, bool)
	commands []string
	uploads  map[string]string
	modes    []os.FileMode
	upload   error
}

const debian = "bakery-uid=1000\n"

// machineOf returns a machine whose probe prints facts, whose sudo works, and whose payload prints report.
func machineOf(facts string, report func(id string) answer) *fake {
	return &fake{uploads: map[string]string{}, special: func(command string) (answer, bool) {
		switch id := payloadID.FindStringSubmatch(command); {
		case strings.Contains(command, "bakery-uid="):
			return answer{stdout: facts}, true
		case strings.Contains(command, " id -u"): // by sudo or the like
			return answer{stdout: "0\n"}, true
		case id != nil && report != nil && !strings.HasPrefix(command, "rm "):
			return report(id[1]), true
		}
		return answer{}, false
	}}
}

var payloadID = regexp.MustCompile(`/bakery-([0-9a-f]{16})\.sh`)

func (f *fake) Start(_ context.Context, cmd *packersdk.RemoteCmd) error {
	f.commands = append(f.commands, payloadID.ReplaceAllString(cmd.Command, "/bakery-ID.sh"))
	a, _ := f.special(cmd.Command)
	if a.err != nil {
		return a.err
	}
	stdout, stderr := cmd.Stdout, cmd.Stderr // an interrupt sets them to nil
	go func() {
		_, _ = io.WriteString(stdout, f.signed(a.stdout))
		_, _ = io.WriteString(stderr, a.stderr)
		cmd.SetExited(a.status)
	}()
	return nil
}

func (f *fake) Upload(path string, r io.Reader, info *os.FileInfo) error {
	if f.upload != nil {
		return f.upload
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if info != nil {
		f.modes = append(f.modes, (*info).Mode())
		if (*info).Size() != int64(len(content)) {
			return fmt.Errorf("announced %d bytes, sent %d", (*info).Size(), len(content))
		}
	}
	f.uploads[payloadID.ReplaceAllString(path, "/bakery-ID.sh")] = string(content)
	return nil
}

func (*fake) UploadDir(string, string, []string) error   { return errors.New("not expected") }
func (*fake) Download(string, io.Writer) error           { return errors.New("not expected") }
func (*fake) DownloadDir(string, string, []string) error { return errors.New("not expected") }

// report stands for a line of the guest program, which fake signs when it prints it.
func report(id, words string) string { return "@report " + id + " " + words + "\n" }

var (
	unsigned  = regexp.MustCompile(`@report (\S+) (\d+) (.*)\n`)
	reportKey = regexp.MustCompile(`BAKERY_REPORT_KEY='([0-9a-f]{32})'`)
)

// signed writes reports as the guest program does that was uploaded.
func (f *fake) signed(printed string) string {
	w := guest.Writer{Secret: "a secret"}
	for _, payload := range f.uploads {
		if m := reportKey.FindStringSubmatch(payload); m != nil {
			_, _ = hex.Decode(w.Key[:], []byte(m[1])) // it is hex by the expression
		}
	}
	return unsigned.ReplaceAllStringFunc(printed, func(line string) string {
		m := unsigned.FindStringSubmatch(line)
		w.BakeID = m[1]
		seq, _ := strconv.Atoi(m[2]) // it is a number by the expression
		return strings.Trim(w.Report(seq, m[3]), "\r\n") + "\n"
	})
}

func succeeds(id string) answer {
	return answer{stdout: report(id, "1 begin 2") + report(id, "2 start 1 60_app.cfg runcmd[0]") + "no line end" +
		report(id, "3 end 1 0 60_app.cfg runcmd[0]") + report(id, "4 warn odd") + report(id, "5 clean") +
		report(id, "6 verdict ok a secret")}
}

// provision prepares and runs a provisioner, and returns the text on the Ui.
func provision(t *testing.T, comm packersdk.Communicator, settings map[string]any) (string, error) {
	t.Helper()
	var seen bytes.Buffer
	ui := &packersdk.BasicUi{Reader: strings.NewReader(""), Writer: &seen, ErrorWriter: &seen,
		PB: &packersdk.NoopProgressTracker{}}
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	var p Provisioner
	must(t, p.Prepare(settings))
	err := p.Provision(t.Context(), ui, comm, map[string]any{"User": "debian"})
	return payloadID.ReplaceAllString(seen.String(), "/bakery-ID.sh"), err
}

func TestAnImageSourceIsSentAndRun(t *testing.T) {
	source := imageSource(t, nil)
	f := machineOf(debian, succeeds)
	seen, err := provision(t, f, map[string]any{"source": source})
	must(t, err)
	want := []string{guest.Probe, "sudo -n id -u", "sudo -n sh /tmp/bakery-ID.sh"}
	if diff := cmp.Diff(want, f.commands); diff != "" {
		t.Errorf("the commands, -want +got:\n%s", diff)
	}
	payload := f.uploads["/tmp/bakery-ID.sh"]
	if !strings.HasPrefix(payload, "#!/bin/sh\n") || !strings.Contains(payload, "fs.tgz") {
		t.Errorf("uploaded %v", slices.Collect(maps.Keys(f.uploads)))
	}
	if diff := cmp.Diff([]os.FileMode{0o600}, f.modes); diff != "" {
		t.Errorf("the payload's mode, -want +got:\n%s", diff)
	}
	wantSeen := "Compiling " + source + "...\nUploading " + fmt.Sprint(len(payload)) +
		" bytes to /tmp/bakery-ID.sh...\n" +
		"Step 1 of 2: 60_app.cfg runcmd[0]\n    no line end\nWarning: odd\n"
	if diff := cmp.Diff(wantSeen, seen); diff != "" {
		t.Errorf("the user saw, -want +got:\n%s", diff)
	}
}

// Packer logs everything that it shows. It does not know these values, so the plugin has to replace them.
func TestValuesOfCompileEnvAreNotShown(t *testing.T) {
	const secret = "s3cr3t-of-this-test"
	f := machineOf(debian, func(id string) answer {
		return answer{stdout: report(id, "1 begin 1") + secret + "\n" + report(id, "2 warn has "+secret) +
			report(id, "3 verdict failed 1 "+secret), stderr: secret + "\n"}
	})
	for _, compile := range []string{"echo out $TOKEN; echo err $TOKEN >&2", "echo $TOKEN >&2; exit 1"} {
		seen, err := provision(t, f, map[string]any{
			"source":      imageSource(t, map[string]string{"script/compile.sh": "#!/bin/sh\n" + compile + "\n"}),
			"compile_env": map[string]string{"TOKEN": secret, "DEBUG": "1"},
		})
		if err == nil {
			t.Fatal("no error")
		}
		if text := seen + err.Error(); strings.Contains(text, secret) || !strings.Contains(text, "<sensitive>") {
			t.Errorf("with %q, shown:\n%s", compile, text)
		}
	}
}

func TestRootNeedsNoSudo(t *testing.T) {
	f := machineOf(strings.Replace(debian, "1000", "0", 1), succeeds)
	_, err := provision(t, f, map[string]any{"source": imageSource(t, nil), "remote_folder": "/var/tmp/"})
	must(t, err)
	if diff := cmp.Diff([]string{guest.Probe, "sh /var/tmp/bakery-ID.sh"}, f.commands); diff != "" {
		t.Errorf("the commands, -want +got:\n%s", diff)
	}
}

func TestExecuteCommandRunsThePayloadAsRoot(t *testing.T) {
	f := machineOf(debian, succeeds)
	_, err := provision(t, f, map[string]any{"source": imageSource(t, nil),
		"execute_command": "doas -u root {{ .Command }} # {{ .User }}"})
	must(t, err)
	if got := f.commands[len(f.commands)-1]; got != "doas -u root sh /tmp/bakery-ID.sh # debian" {
		t.Errorf("root runs it by %q", got)
	}
}

func TestWithBakeryUserdataItJoinsTheBake(t *testing.T) {
	source := imageSource(t, nil)
	f := machineOf("", nil)
	_, err := provision(t, f, map[string]any{
		"source": source, "compile_env": map[string]string{"A": "b"}, "strict": true, "fs_inline_limit": 100,
		"packer_builder_type": "bakery-userdata",
	})
	must(t, err)
	got, err := bundle.ParseJoin([]byte(f.uploads[bundle.JoinPath]))
	must(t, err)
	want := bundle.Join{Source: source, CompileEnv: map[string]string{"A": "b"}, Strict: true, FSInlineLimit: 100}
	if diff := cmp.Diff(want, got); diff != "" || len(f.commands) > 0 {
		t.Errorf("commands %q, -want +got:\n%s", f.commands, diff)
	}
	f.upload = errors.New("no")
	if _, err := provision(t, f, map[string]any{"source": source, "packer_builder_type": "bakery-userdata"}); err ==
		nil {
		t.Error("a failing upload is no error")
	}
}

func TestProvisionFails(t *testing.T) {
	users := map[string]string{"cloudinit/10_users.cfg": "#cloud-config\nusers: [default]\npackages: [nginx]\n"}
	noCloudInit := debian + "bakery-lacks=cloud-init\n"
	for name, c := range map[string]struct {
		files    map[string]string
		facts    string
		run      func(id string) answer
		want     []string
		uploaded bool
		last     string // the last command, when it matters
	}{
		"no shell": {facts: "what?", want: []string{"no POSIX shell", "what?"}},
		"no gzip":  {facts: debian + "bakery-lacks=tar\nbakery-lacks=gzip\n", want: []string{"lacks tar, gzip"}},
		"no cloud-init": {
			files: users, facts: noCloudInit,
			want: []string{"no cloud-init on the machine", "cloudinit/10_users.cfg: users, packages",
				"nothing has been changed"},
		},
		"a mistake that only compile.sh shows": {
			files: map[string]string{"script/compile.sh": "#!/bin/sh\necho broken >&2\nexit 4\n"}, facts: debian,
			want: []string{"compile ", "exit code 4", "broken"},
		},
		"a step": {
			facts: debian, uploaded: true,
			run: func(id string) answer {
				return answer{stdout: report(id, "1 begin 1") + report(id, "2 start 1 60_app.cfg runcmd[3]") +
					"oops\n" +
					report(id, "3 verdict fail 7 60_app.cfg runcmd[3]"), status: 7}
			},
			want: []string{"60_app.cfg runcmd[3] failed with exit status 7"},
		},
		"a step, though execute_command succeeds": {
			facts: debian, uploaded: true,
			run: func(id string) answer {
				return answer{stdout: report(id, "1 reason it ended the shell") + report(id, "2 verdict fail 0 x")}
			},
			want: []string{"x failed with exit status 0: it ended the shell"},
		},
		"a cloud-init that cannot be asked": {
			files: users, facts: debian, uploaded: true,
			run: func(id string) answer {
				return answer{stdout: report(id, "1 verdict fail 1 cloud-init"),
					status: 1}
			},
			want: []string{"cloud-init failed", "cloudinit/10_users.cfg: users, packages"},
		},
		"execute_command, though every step succeeds": {
			facts: debian, uploaded: true,
			run:  func(id string) answer { a := succeeds(id); a.status = 9; return a },
			want: []string{"every step succeeded", "exit status 9"},
		},
		"a connection that is lost": {
			facts: debian, uploaded: true,
			run: func(id string) answer {
				return answer{stdout: report(id, "1 begin 2") + report(id, "2 start 1 60_app.cfg runcmd[3]"),
					status: packersdk.CmdDisconnect}
			},
			want: []string{"the connection was lost while step 1 of 2, 60_app.cfg runcmd[3], ran", "bakery-userdata",
				"expect_disconnect"},
		},
		"a run that does not begin": {
			facts: debian, uploaded: true, last: "rm -f /tmp/bakery-ID.sh",
			run: func(string) answer {
				return answer{stderr: "the payload cannot be unpacked: is the disk full?\n", status: 125}
			},
			want: []string{"did not begin", "exit status 125", "is the disk full?"},
		},
		"a run that is refused": {
			facts: debian, uploaded: true, last: "rm -f /tmp/bakery-ID.sh",
			run:  func(string) answer { return answer{err: errors.New("administratively prohibited")} },
			want: []string{"run the payload", "administratively prohibited"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := machineOf(c.facts, c.run)
			_, err := provision(t, f, map[string]any{"source": imageSource(t, c.files)})
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			if uploaded := len(f.uploads) > 0; uploaded != c.uploaded {
				t.Errorf("a payload was uploaded: %v", uploaded)
			}
			if last := f.commands[len(f.commands)-1]; c.last != "" && last != c.last {
				t.Errorf("the last command is %q", last)
			}
		})
	}
}

func TestTheErrorForAUserWithoutSudoHasTheRemedy(t *testing.T) {
	f := machineOf(debian, nil)
	ask := f.special
	f.special = func(command string) (answer, bool) {
		if command == "sudo -n id -u" {
			return answer{stderr: "sudo: a password is required\n", status: 1}, true
		}
		return ask(command)
	}
	_, err := provision(t, f, map[string]any{"source": imageSource(t, nil)})
	for _, want := range []string{"sudo -n failed with exit status 1: sudo: a password is required",
		"execute_command"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestTheErrorOfAnUploadNamesRemoteFolder(t *testing.T) {
	f := machineOf(debian, nil)
	f.upload = errors.New("no space left on device")
	_, err := provision(t, f, map[string]any{"source": imageSource(t, nil)})
	if err == nil || !strings.Contains(err.Error(), "no space left on device") ||
		!strings.Contains(err.Error(), "remote_folder") {
		t.Errorf("got %v", err)
	}
	if last := f.commands[len(f.commands)-1]; last != "rm -f /tmp/bakery-ID.sh" {
		t.Errorf("the last command is %q", last)
	}
}

func TestAnInterruptStopsTheMachine(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var f *fake
	f = machineOf(debian, func(id string) answer {
		if len(f.commands) == 3 {
			cancel()
		}
		return answer{stdout: report(id, "1 begin 1"), status: packersdk.CmdDisconnect}
	})
	var p Provisioner
	must(t, p.Prepare(map[string]any{"source": imageSource(t, nil)}))
	ui := &packersdk.BasicUi{Reader: strings.NewReader(""), Writer: io.Discard, ErrorWriter: io.Discard,
		PB: &packersdk.NoopProgressTracker{}}
	if err := p.Provision(ctx, ui, f, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	want := []string{"sudo -n sh /var/lib/bakery/bakery.sh stop", "rm -f /tmp/bakery-ID.sh"}
	if diff := cmp.Diff(want, f.commands[3:]); diff != "" {
		t.Errorf("the commands after it, -want +got:\n%s", diff)
	}
}
