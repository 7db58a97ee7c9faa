// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// provisioner is a hook that acts as a provisioner.
type provisioner func(context.Context, packersdk.Ui, packersdk.Communicator, map[string]any) error

func (p provisioner) Run(
	ctx context.Context, name string, ui packersdk.Ui, comm packersdk.Communicator, data any,
) error {
	if name != packersdk.HookProvision {
		return nil
	}
	return p(ctx, ui, comm, data.(map[string]any))
}

// shellBlock does what the shell provisioner does. An exit status other than 0 is a failure.
func shellBlock(ctx context.Context, ui packersdk.Ui, comm packersdk.Communicator, _ map[string]any) error {
	ui.Say("Provisioning with shell script: scripts/setup.sh")
	if err := comm.Upload("/tmp/script_1.sh", strings.NewReader("true"), nil); err != nil {
		return errors.New("the shell provisioner would try again for five minutes")
	}
	chmod := &packersdk.RemoteCmd{Command: "chmod 0755 /tmp/script_1.sh"}
	if err := comm.Start(ctx, chmod); err != nil {
		return errors.New("the shell provisioner would try again for five minutes")
	}
	cmd := &packersdk.RemoteCmd{Command: "/tmp/script_1.sh"}
	if err := cmd.RunWithUi(ctx, comm, ui); err != nil {
		return err
	}
	if code := cmd.ExitStatus(); code != 0 {
		return errors.New("script exited with non-zero exit status")
	}
	return nil
}

// fileBlock does what the file provisioner does with a file.
func fileBlock(src, dst string) provisioner {
	return func(_ context.Context, ui packersdk.Ui, comm packersdk.Communicator, _ map[string]any) error {
		ui.Say("Uploading " + src + " => " + dst)
		f, err := os.Open(src)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		return comm.Upload(dst, f, &info)
	}
}

// joinBlock does what the provisioner bakery-image-source does.
func joinBlock(join bundle.Join) provisioner {
	return func(_ context.Context, _ packersdk.Ui, comm packersdk.Communicator, _ map[string]any) error {
		return comm.Upload(bundle.JoinPath, bytes.NewReader(join.Render()), nil)
	}
}

// blocks runs provisioners one after another.
func blocks(all ...provisioner) provisioner {
	return func(ctx context.Context, ui packersdk.Ui, comm packersdk.Communicator, data map[string]any) error {
		for _, p := range all {
			if err := p(ctx, ui, comm, data); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestProvisionersAreRecordedIntoUserData(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.hook = blocks(shellBlock, fileBlock(writeRandomFile(t, 100), "/etc/noise"))
		b.config.Comm.SSHUsername = "admin"
	})
	if err != nil {
		t.Fatal(err)
	}
	b.checkUserDataHas("replay 001 provisioner 1 (shell setup.sh)\nreplay 002 provisioner 2 (file)\n",
		"BAKERY_USER='admin'", "provisioners.tgz")
	b.checkSaid("Recording the provisioners",
		"Recorded 2 provisioners for user admin: 2 commands and 2 files of 104 bytes")
	if b.account.Count("PUT object") > 0 {
		t.Error("something was staged")
	}
}

func TestLargeRecordingIsStaged(t *testing.T) {
	for delivery, want := range map[string]string{
		"presigned": "X-Amz-Signature=", "profile": "/" + testFolder + "/provisioners.tgz'",
	} {
		t.Run(delivery, func(t *testing.T) {
			b, _, err := runBuild(t, func(b *testBuild) {
				b.setStaging()
				b.config.Staging.Delivery = delivery
				b.config.Staging.Keep = true
				b.config.ImageSource, b.config.UserData = "", "#!/bin/sh\ntrue\n"
				b.config.IamInstanceProfile = "machine"
				b.hook = fileBlock(writeRandomFile(t, 9000), "/opt/noise")
			})
			if err != nil {
				t.Fatal(err)
			}
			_, line, _ := strings.Cut(string(b.account.RunUserData()), "BAKERY_RECORDED_URL=")
			if line, _, _ = strings.Cut(line, "\n"); !strings.Contains(line, want) {
				t.Errorf("the machine fetches from %s", line)
			}
			if strings.Contains(b.ui.String(), "X-Amz-Signature=") {
				t.Error("a signed URL was printed")
			}
			for _, object := range b.account.Objects() {
				if strings.Contains(object, "provisioners") {
					t.Errorf("%s is left; keep is for fs/", object)
				}
			}
			b.checkSaid("bytes to s3://" + awsfake.Bucket + "/some/prefix/" + testFolder + "/provisioners.tgz")
		})
	}
}

func TestLargeRecordingWithoutStagingFailsBeforeLaunch(t *testing.T) {
	for name, c := range map[string]struct {
		size int
		want []string
	}{
		"too large with the user data": {
			14000, []string{"the user data is ", "bytes of the recorded provisioners", "16384", "staging {"},
		},
		"too large by themselves": {
			200_000, []string{"what the provisioners upload and run is 20", "16384", "staging {"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, func(b *testBuild) {
				b.hook = fileBlock(writeRandomFile(t, c.size), "/opt/noise")
			})
			if err == nil {
				t.Fatal("the bake succeeded")
			}
			checkErrorSays(t, err, c.want...)
			if b.account.Count("RunInstances")+b.account.Count("CreateSecurityGroup") > 0 {
				t.Error("something was made")
			}
		})
	}
}

func TestImageSourceRunsBetweenProvisioners(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.config.UserData = ""
		join := bundle.Join{Source: writeImageSource(t, 10)}
		b.hook = blocks(shellBlock, joinBlock(join), fileBlock(writeRandomFile(t, 10), "/x"))
	})
	if err != nil {
		t.Fatal(err)
	}
	b.checkUserDataHas("replay 001 provisioner 1 (shell setup.sh)\n", "replay 002 provisioner 2 (file)\n", "60_a.cfg",
		"units.first", "units.last")
	if got := awsfake.Tags(b.account.Requests["CreateImage"], "image")["Version"]; got != "1.2" {
		t.Errorf("the version of the Image-Source is %q in the tags", got)
	}
}

func TestBakeOfProvisionersAlone(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.config.UserData = ""
		b.hook = provisioner(shellBlock)
	})
	if err != nil || strings.Contains(b.ui.String(), "copy of its source") {
		t.Errorf("%v\n%s", err, b.ui)
	}
	b, _, err = runBuild(t, func(b *testBuild) { b.config.UserData = "" })
	if err != nil || !strings.Contains(b.ui.String(), "nothing to bake, so the image will be a copy of its source") {
		t.Errorf("%v\n%s", err, b.ui)
	}
}

// say is a provisioner that only prints a line.
func say(line string) provisioner {
	return func(_ context.Context, ui packersdk.Ui, _ packersdk.Communicator, _ map[string]any) error {
		ui.Say(line)
		return nil
	}
}

func TestProvisionersThatRecordNothingAreWarnedOf(t *testing.T) {
	const local, nothing = "shell-local ran on this computer, before there is a machine", "there is nothing to bake"
	shellLocal := say("Running local shell script: send.sh")
	for name, c := range map[string]struct {
		hook  provisioner
		alone bool // there is no user data
		want  []string
		not   []string
	}{
		"shell-local alone":            {shellLocal, true, []string{local, nothing}, nil},
		"shell-local beside user data": {shellLocal, false, []string{local}, []string{nothing}},
		"shell-local beside others":    {blocks(shellLocal, shellBlock), true, nil, []string{local, "warning"}},
		"one that never calls": {blocks(say("Provisioning with Ansible..."), shellBlock), true, []string{
			"warning: the provisioner ansible ran before there is a machine, and recorded nothing"}, []string{local}},
		"none": {say("hello"), false, nil, []string{local, nothing}},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, func(b *testBuild) {
				b.hook = c.hook
				if c.alone {
					b.config.UserData = ""
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			b.checkSaid(c.want...)
			for _, not := range c.not {
				if strings.Contains(b.ui.String(), not) {
					t.Errorf("it says %q:\n%s", not, b.ui)
				}
			}
		})
	}
}

// TestMachinePutsInItsIDAndAddress checks that the machine gets the program for it only when something asks for it.
func TestMachinePutsInItsIDAndAddress(t *testing.T) {
	for name, c := range map[string]struct{ variable, want string }{
		"an id": {"ID", "BAKERY_INTERFACE='private_ip'"}, "a host": {"Host", "facts.py"}, "a user": {"User", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, func(b *testBuild) {
				b.config.SSHInterface = "private_ip"
				b.hook = provisioner(func(
					ctx context.Context, ui packersdk.Ui, comm packersdk.Communicator, data map[string]any,
				) error {
					cmd := &packersdk.RemoteCmd{Command: "echo " + data[c.variable].(string)}
					return cmd.RunWithUi(ctx, comm, ui)
				})
			})
			if err != nil {
				t.Fatal(err)
			}
			if c.want != "" {
				b.checkUserDataHas(c.want, "facts.py")
			} else if strings.Contains(string(b.account.UserData()), "facts.py <<") {
				t.Error("the machine has facts.py")
			}
		})
	}
}

// TestPostProcessorsKnowTheMachine checks that build.ID is the machine's in post-processors.
func TestPostProcessorsKnowTheMachine(t *testing.T) {
	b, artifact, err := runBuild(t, func(b *testBuild) { b.hook = provisioner(shellBlock) })
	if err != nil {
		t.Fatal(err)
	}
	data, _ := artifact.State("generated_data").(map[string]any)
	if data["ID"] != b.account.Instance.ID {
		t.Errorf("build.ID is %v, want %s", data["ID"], b.account.Instance.ID)
	}
}

func TestProvisionerThatCannotBeRecordedFailsBake(t *testing.T) {
	join := bundle.Join{Source: writeImageSource(t, 10)}
	for name, c := range map[string]struct {
		hook provisioner
		set  func(*testBuild)
		want []string
	}{
		"one that downloads":                     {download, nil, []string{"provisioner 1", "download /x"}},
		"one that ignores an error":              {ignoreError, nil, []string{"provisioner 1", "download /x"}},
		"one that waits for ever after an error": {waitForEver, nil, []string{"provisioner 1", "download /x"}},
		"any, with verdict stop": {
			shellBlock, func(b *testBuild) { b.config.Verdict = setting.VerdictStop },
			[]string{`verdict = "stop"`, "provisioners cannot be added"},
		},
		"an Image-Source and user data": {
			joinBlock(join), nil, []string{"image_source, bundle, user_data_file or user_data", "keep either"},
		},
		"two Image-Sources": {
			blocks(joinBlock(join), joinBlock(join)), func(b *testBuild) { b.config.UserData = "" },
			[]string{"a bake takes one"},
		},
		"an Image-Source with mistakes": {
			joinBlock(bundle.Join{Source: "/nonexistent"}), func(b *testBuild) { b.config.UserData = "" },
			[]string{"compile /nonexistent"},
		},
		"valid_exit_codes without 0": {refuseStatus0, nil, []string{"non-zero exit status: 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			var began, ended time.Time
			b, _, err := runBuild(t, func(b *testBuild) {
				b.hook = timed(c.hook, &began, &ended)
				if c.set != nil {
					c.set(b)
				}
			})
			if err == nil {
				t.Fatal("the bake succeeded")
			}
			checkErrorSays(t, err, c.want...)
			if d := ended.Sub(began); d > time.Second {
				t.Errorf("it took %s", d)
			}
			if b.account.Instance.ID != "" {
				t.Error("a machine was run")
			}
		})
	}
}

func TestErrorCleanupProvisionerHasNoMachine(t *testing.T) {
	for name, fails := range map[string]func(*testBuild){
		"while provisioning": func(b *testBuild) {},
		"on the machine":     func(b *testBuild) { b.account.SetReports("begin 1", "start 1 x", "verdict fail 3 x") },
	} {
		t.Run(name, func(t *testing.T) {
			hook := &errorCleanup{}
			b, _, err := runBuild(t, func(b *testBuild) {
				b.hook = hook
				hook.fails = name == "while provisioning"
				fails(b)
			})
			if err == nil || hook.cleaned != 1 {
				t.Fatalf("the cleanup provisioner ran %d times: %v", hook.cleaned, err)
			}
			data := hook.data
			if hook.code != 1 || data["User"] != "root" || data["Host"] != "ERR_HOST_NOT_IMPLEMENTED_BY_BUILDER" {
				t.Errorf("exit status %d, variables %v", hook.code, hook.data)
			}
			b.checkSaid("there is no machine to connect to")
		})
	}
}

// download asks for a file of the machine, which is not there yet.
func download(_ context.Context, _ packersdk.Ui, comm packersdk.Communicator, _ map[string]any) error {
	return comm.Download("/x", new(bytes.Buffer))
}

func ignoreError(ctx context.Context, ui packersdk.Ui, comm packersdk.Communicator, data map[string]any) error {
	_ = download(ctx, ui, comm, data)
	return nil
}

func waitForEver(ctx context.Context, ui packersdk.Ui, comm packersdk.Communicator, data map[string]any) error {
	_ = download(ctx, ui, comm, data)
	<-ctx.Done()
	return ctx.Err()
}

// refuseStatus0 returns the error of the shell provisioner when valid_exit_codes does not list 0.
func refuseStatus0(context.Context, packersdk.Ui, packersdk.Communicator, map[string]any) error {
	return errors.New("script exited with non-zero exit status: 0. Allowed exit codes are: [3]")
}

// timed runs a provisioner, and sets when it began and ended.
func timed(p provisioner, began, ended *time.Time) provisioner {
	return func(ctx context.Context, ui packersdk.Ui, comm packersdk.Communicator, data map[string]any) error {
		*began = time.Now()
		defer func() { *ended = time.Now() }()
		return p(ctx, ui, comm, data)
	}
}

// errorCleanup is a template with an error-cleanup-provisioner that runs a command.
type errorCleanup struct {
	fails         bool
	code, cleaned int
	data          map[string]any
}

func (c *errorCleanup) Run(
	ctx context.Context, name string, ui packersdk.Ui, comm packersdk.Communicator, data any,
) error {
	if name == packersdk.HookProvision {
		if c.fails {
			return errors.New("a shell-local fails")
		}
		return nil
	}
	c.cleaned++
	c.data, _ = data.(map[string]any)
	cmd := &packersdk.RemoteCmd{Command: "rm -rf /"}
	if err := cmd.RunWithUi(ctx, comm, ui); err != nil {
		return err
	}
	c.code = cmd.ExitStatus()
	return nil
}

func TestLocalProvisionersGetBuildData(t *testing.T) {
	var seen map[string]any
	_, _, err := runBuild(t, func(b *testBuild) {
		b.config.Comm.SSHUsername = "ec2-user"
		b.hook = provisioner(func(
			_ context.Context, _ packersdk.Ui, _ packersdk.Communicator, data map[string]any,
		) error {
			seen = maps.Clone(data) // before the machine is known
			return nil
		})
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"SourceAMI": awsfake.SourceImageID, "SourceAMIName": "debian-12", "BuildRegion": "us-east-1",
		"BakeID": awsfake.BakeID, "ConnType": "none",
		"User": "ec2-user", "Host": "ERR_HOST_NOT_IMPLEMENTED_BY_BUILDER",
		"Port": "ERR_PORT_NOT_IMPLEMENTED_BY_BUILDER",
		"ID":   "ERR_ID_NOT_IMPLEMENTED_BY_BUILDER", "Password": "ERR_PASSWORD_NOT_IMPLEMENTED_BY_BUILDER",
		"SSHPrivateKey": "ERR_SSH_PRIVATE_KEY_NOT_IMPLEMENTED_BY_BUILDER",
	} {
		if seen[name] != want {
			t.Errorf("build.%s is %v, want %q", name, seen[name], want)
		}
	}
	for _, name := range buildDataNames {
		if _, ok := seen[name]; !ok {
			t.Errorf("build.%s is promised and not there", name)
		}
	}
}
