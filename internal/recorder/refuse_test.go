// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package recorder

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
)

// calls is a provisioner that makes the calls of a function.
type calls func(b *harness) error

func (c calls) provision(b *harness) error { return c(b) }

// started returns a provisioner that starts a given command.
func started(cmd *packersdk.RemoteCmd) provisioner {
	return calls(func(b *harness) error {
		if err := b.rec.Start(context.Background(), cmd); err != nil {
			return err
		}
		if cmd.Wait() != 0 {
			return errors.New("exit status")
		}
		return nil
	})
}

func TestCallsThatCannotBeRecordedAreRefusedAtOnce(t *testing.T) {
	src := files(
		t,
		map[string]string{
			"app.conf":      "a",
			"unknown.sh":    "echo '<unknown>'",
			"dir/new\nline": "x",
			"loop/x":        "x",
			"sock/x":        "x",
		},
	)
	for link, target := range map[string]string{"loop/up": ".", "broken/link": "nowhere"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(src, link)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, filepath.Join(src, link)); err != nil {
			t.Fatal(err)
		}
	}
	socket, err := net.Listen("unix", filepath.Join(src, "sock", "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	content := filepath.Join(t.TempDir(), "pkr-file-content123")
	if err := os.WriteFile(content, []byte("id = "+Placeholder("ID")+" "+Placeholder("PASSWORD")), 0o600); err != nil {
		t.Fatal(err)
	}
	file := func(source, dst string) provisioner { return fileBlock{sources: []string{source}, dst: dst} }
	inline := func(execute string) provisioner {
		return shellBlock{inline: "true", remote: "/tmp/s.sh", execute: execute}
	}
	for name, c := range map[string]struct {
		block provisioner
		want  []string
	}{
		"a download": {fileBlock{sources: []string{"/etc/x"}, dst: "x", download: true},
			[]string{"provisioner 2 (file)", "download /etc/x", "S3"}},
		"a download of a directory": {fileBlock{sources: []string{"/etc/"}, dst: "x", download: true},
			[]string{"provisioner 2 (file)", "download /etc/"}},
		"a command with input": {started(&packersdk.RemoteCmd{Command: "sh", Stdin: strings.NewReader("")}),
			[]string{"provisioner 2: ", "ansible-local"}},
		"a command whose output is read": {started(&packersdk.RemoteCmd{Command: "uname -s -m", Stdout: io.Discard}),
			[]string{"provisioner 2: ", `"uname"`}},
		"the same, with secrets": {started(&packersdk.RemoteCmd{Command: "PW='a b' x", Stdout: io.Discard}),
			[]string{`"a command"`}},
		"powershell": {calls(func(b *harness) error {
			b.ui.Say("Provisioning with Powershell...")
			_ = b.rec.Upload("c:/Windows/Temp/packer-ps-env-vars-1.ps1", strings.NewReader(""), nil)
			return (commandOnly("powershell -executionpolicy bypass x")).provision(b)
		}), []string{"provisioner 2 (powershell)", "c:/Windows/Temp", "for Windows", "only = "}},
		"windows-restart": {calls(func(b *harness) error {
			b.ui.Say("Restarting Machine")
			return (commandOnly(`shutdown /r /f /t 0 /c "packer restart"`)).provision(b)
		}), []string{"provisioner 2 (windows-restart)", `"shutdown" is for Windows`}},
		"windows-shell": {calls(func(b *harness) error {
			b.ui.Say("Provisioning with windows-shell...")
			b.ui.Say("Provisioning with shell script: x.bat")
			return b.rec.Upload("c:/Windows/Temp/script.bat", strings.NewReader(""), nil)
		}), []string{"provisioner 2 (windows-shell)", "for Windows"}},
		"a backslash": {inline(`C:\x.bat`),
			[]string{"provisioner 2 (shell inline)", "for Windows"}},
		"a path of the bake": {file(src+"/app.conf", "/var/lib/../lib/bakery/x"),
			[]string{"provisioner 2 (file)", "belongs to the bake"}},
		"a path that a shell expands": {file(src+"/app.conf", "/opt/$APP/x"),
			[]string{"$APP", "write the path out"}},
		"a command in a path":   {file(src+"/dir/", "/opt/`id`"), []string{"write the path out"}},
		"an invalid user":       {file(src+"/app.conf", "~+/x"), []string{"names no user"}},
		"a directory as a file": {file(src+"/app.conf", "/opt/."), []string{"name the file"}},
		"an upload to a slash": {
			calls(func(b *harness) error { return b.rec.Upload("/opt/", strings.NewReader(""), nil) }),
			[]string{"name the file"},
		},
		"a line break in a path": {file(src+"/app.conf", "/opt/a\nb"), []string{"line break"}},
		"a line break in a name": {file(src+"/dir", "/opt"),
			[]string{"provisioner 2 (file)", `new\nline`, "line break"}},
		"a socket":                    {file(src+"/sock", "/opt"), []string{"s is neither a file"}},
		"a link to nowhere":           {file(src+"/broken/", "/opt"), []string{"broken/link"}},
		"a link that leads to itself": {file(src+"/loop/", "/opt"), []string{"is without end"}},
		"a directory without a name": {calls(func(b *harness) error { return b.rec.UploadDir("/opt", ".", nil) }),
			[]string{"end it with a slash"}},
		"a directory that is not there": {
			calls(func(b *harness) error { return b.rec.UploadDir("/opt", src+"/nothing", nil) }),
			[]string{"no such file"},
		},
		"an unknown value in a command": {shellBlock{inline: "1", remote: "/tmp/s.sh", vars: "IP='<unknown>'"},
			[]string{"provisioner 2 (shell inline)", "the command holds", `"<unknown>"`}},
		"a missing value in a command": {
			shellBlock{inline: "1", remote: "/tmp/s.sh", vars: Placeholder("HOST") + Placeholder("PORT")},
			[]string{"ERR_PORT_NOT_IMPLEMENTED_BY_BUILDER", "nothing connects to the machine", "build.Host"},
		},
		"an unknown value in a script": {
			shellBlock{inline: strings.Repeat("x", copySize-20) + "<unknown>", remote: "/tmp/s.sh"},
			[]string{"what is uploaded to /tmp/s.sh holds", "<unknown>"},
		},
		"an unknown value in variables": {
			shellBlock{inline: "1", remote: "/tmp/s.sh", envFile: "/tmp/varfile_1.sh", envText: "export A='<unknown>'"},
			[]string{"/tmp/varfile_1.sh", "<unknown>"},
		},
		"a missing value in a content": {file(content, "/etc/x"), []string{"/etc/x holds ERR_PASSWORD_"}},
		"a missing value in a destination": {file(src+"/app.conf", "/etc/"+Placeholder("PORT")),
			[]string{"the destination /etc/ERR_PORT_", "has no value"}},
		"a missing value in a directory's destination": {file(src+"/sock", "/etc/"+Placeholder("PORT")),
			[]string{"the destination /etc/ERR_PORT_"}},
		"a missing value in a text of another provisioner": {calls(func(b *harness) error {
			b.ui.Say("Provisioning with chef-solo")
			content := strings.NewReader(`{"p": "` + Placeholder("PORT") + `"}`)
			if err := b.rec.Upload("/tmp/node.json", content, nil); err != nil {
				return err
			}
			return commandOnly("chef-solo").provision(b)
		}), []string{"provisioner 2 (chef-solo)", "/tmp/node.json holds ERR_PORT_"}},
		"an address of Packer's own HTTP": {
			shellBlock{inline: "curl ERR_HTTP_ADDR_NOT_IMPLEMENTED_BY_BUILDER", remote: "/tmp/s.sh"},
			[]string{"serves no files over HTTP"},
		},
		"a NUL": {commandOnly("a\x00b"), []string{"NUL"}},
		"a file that shrinks": {calls(func(b *harness) error {
			b.ui.Say("Uploading x => /tmp/x")
			info, _ := os.Stat(src + "/app.conf")
			return b.rec.Upload("/tmp/x", strings.NewReader(""), &info)
		}), []string{"0 of 1 bytes"}},
		"an Image-Source without a path": {calls(func(b *harness) error {
			return b.rec.Upload(bundle.JoinPath, strings.NewReader("{}"), nil)
		}), []string{"bakery-image-source", "absolute path"}},
		"two Image-Sources": {calls(func(b *harness) error {
			join := bundle.Join{Source: "/x"}.Render()
			return errors.Join(b.rec.Upload(bundle.JoinPath, strings.NewReader(string(join)), nil),
				b.rec.Upload(bundle.JoinPath, strings.NewReader(string(join)), nil))
		}), []string{"a bake takes one"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { checkRefused(t, inline(""), c.block, c.want...) })
		})
	}
}

// checkRefused records a provisioner behind one that is good. It must be refused at once: by the clock of a bubble,
// which only waiting moves.
func checkRefused(t *testing.T, before, block provisioner, want ...string) {
	t.Helper()
	b := newHarness(t)
	start := time.Now()
	_, err := b.record(before, block, commandOnly("SHOULD-NOT-BE-RECORDED"))
	if err == nil {
		t.Fatal("it was recorded")
	}
	for _, w := range append(want, "record the provisioners") {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the refusal does not say %q:\n%v", w, err)
		}
	}
	if strings.Contains(err.Error(), "provisioner 3") {
		t.Errorf("a later provisioner was refused as well:\n%v", err)
	}
	if d := time.Since(start); d > time.Second {
		t.Errorf("it took %s", d)
	}
	select {
	case <-b.rec.Refused():
	default:
		t.Error("the channel of Refused is not closed")
	}
}

func TestCallsThatOnlyLookLikeRefusedOnesAreRecorded(t *testing.T) {
	src := files(t, map[string]string{"a.sh": "echo '<unknown>' ERR_HOST_NOT_IMPLEMENTED_BY_BUILDER"})
	b := newHarness(t)
	log, err := b.record(
		shellBlock{
			scripts: map[string]string{"packer-shell-setup.sh": "usage: <unknown>"},
			remote:  "/tmp/s.sh",
		}, // the user's own script
		fileBlock{sources: []string{src + "/a.sh"}, dst: "/tmp/"},
		shellBlock{inline: "apt-get install powershell", remote: "/tmp/s.sh", execute: "sudo sh -c ' pwsh -f {{P}}'"},
		shellBlock{inline: "1", remote: "/tmp/s.sh", vars: `PS1='\u@d:\n' SHARE='C:\temp' `},
		commandOnly("docker run -v a:/b shutdown -r now; cmd=x powershell-empire"),
		fileBlock{sources: []string{src + "/a.sh"}, dst: "/tmp/$weird 'name'"},
	)
	if err != nil || log.Count != 6 {
		t.Errorf("%+v, %v", log, err)
	}
}

func TestRefuseAndRefuseJoin(t *testing.T) {
	dir := t.TempDir()
	for name, p := range map[string]provisioner{
		"a command":   commandOnly("true"),
		"a script":    shellBlock{inline: "1", remote: "/tmp/s.sh"},
		"a directory": fileBlock{sources: []string{dir}, dst: "/tmp"},
		"a join": calls(func(b *harness) error {
			return b.rec.Upload(bundle.JoinPath, strings.NewReader(`{"source":"/x"}`), nil)
		}),
	} {
		b := newHarness(t)
		b.rec.Refuse(errors.New("the reason"))
		if _, err := b.record(p); err == nil || !strings.Contains(err.Error(), "the reason") {
			t.Errorf("%s: %v", name, err)
		}
	}
	b := newHarness(t)
	b.rec.RefuseJoin(errors.New("the reason"))
	if _, err := b.record(commandOnly("true"), calls(func(b *harness) error {
		return b.rec.Upload(bundle.JoinPath, strings.NewReader(`{"source":"/x"}`), nil)
	})); err == nil || !strings.Contains(err.Error(), "provisioner 2 (bakery-image-source): the reason") {
		t.Error(err)
	}
}

func TestAskFailsAfterARefusal(t *testing.T) {
	b := newHarness(t)
	if err := b.rec.Download("/x", io.Discard); err == nil {
		t.Fatal("a download succeeded")
	}
	for _, ask := range []func() (string, error){
		func() (string, error) { return b.ui.Ask("Press enter to continue.") },
		func() (string, error) { return b.ui.Askf("Press %s to continue.", "enter") },
	} {
		if _, err := ask(); !errors.Is(err, errStopped) {
			t.Errorf("asking gives %v", err)
		}
	}
}

func TestExplain(t *testing.T) {
	b := newHarness(t)
	failed := (shellBlock{inline: "exit 3", remote: "/tmp/s.sh", validity: []int{3}}).provision(b)
	if failed == nil {
		t.Fatal("exit status 0 is valid")
	}
	if _, err := b.rec.Close(); err != nil { // as the builder does before it asks
		t.Fatal(err)
	}
	for _, want := range []string{"provisioner 1 (shell inline)", failed.Error(), "valid_exit_codes", "|| [ $? = 3 ]"} {
		if err := b.rec.Explain(failed); !strings.Contains(err.Error(), want) {
			t.Errorf("the explanation does not say %q: %v", want, err)
		}
	}
	if err := (printsOnly("Running local shell script: x")).provision(b); err != nil {
		t.Fatal(err)
	}
	if err := b.rec.Explain(failed); err.Error() != failed.Error() {
		t.Errorf("shell-local's own exit status is explained: %v", err)
	}
	b.ui.Say("Provisioning with Ansible...")
	unreachable := errors.New("exit status 4")
	if err := b.rec.Explain(
		unreachable,
	); !errors.Is(err, unreachable) ||
		!strings.Contains(err.Error(), "Use ansible-local") {
		t.Errorf("ansible: %v", err)
	}
}
