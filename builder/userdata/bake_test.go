// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

func TestBakeLeavesOnlyItsImage(t *testing.T) {
	b, artifact, err := runBuild(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := artifact.Id(), "us-east-1:"+awsfake.NewImageID; got != want {
		t.Errorf("the artifact is %s, want %s", got, want)
	}
	b.checkOnlyImageLeft()
	for name, want := range map[string]string{
		"InstanceInitiatedShutdownBehavior": "stop", "MetadataOptions.HttpTokens": "required",
		"ImageId":      awsfake.SourceImageID,
		"InstanceType": "t3.nano", "SecurityGroupId.1": "sg-new", "ClientToken": awsfake.BakeID, "KeyName": "",
	} {
		if got := b.account.Requests["RunInstances"].Get(name); got != want {
			t.Errorf("the machine was run with %s = %q, want %q", name, got, want)
		}
	}
}

func TestBakeShowsProgressOfMachine(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.account.SetReports("begin 2", "start 1 script/install.sh", "warn no clock", "end 1 0 script/install.sh",
			"boot 2", "start 2 60_app.cfg", "end 2 0 60_app.cfg", awsfake.Success)
		b.account.StopsAfter = 30 * time.Second
	})
	if err != nil {
		t.Fatal(err)
	}
	// Whole seconds depend on the jitter of the polls; the rest does not.
	checkGolden(t, "progress.txt", withoutNumbers(b.ui.String()))
}

func withoutNumbers(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if _, rest, ok := strings.Cut(line, " s] "); ok {
			line = "[N s] " + rest
		}
		if head, _, ok := strings.Cut(line, "Seconds spent:"); ok {
			line = head + "Seconds spent: N\n"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "")
}

func TestBakeTagsWhatItCreates(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.config.RunTags = map[string]string{"team": "builders", "from": "{{ .SourceAMIName }}"}
		b.config.Tags = map[string]string{"team": "images"}
		b.config.SnapshotTags = map[string]string{"kind": "snapshot"}
		b.config.ImageVersion = "7"
	})
	if err != nil {
		t.Fatal(err)
	}
	program, _, err := readProgram("user_data", []byte(b.config.UserData), nil)
	if err != nil {
		t.Fatal(err)
	}
	document, err := guest.Document(program)
	if err != nil {
		t.Fatal(err)
	}
	expires := "2000-01-01T01:45:00Z" // the bubble's first second, both timeouts, and the margin
	machine := map[string]string{
		"Name": "bakery hello-1", bake.TagBake: awsfake.BakeID, bake.TagExpires: expires, "team": "builders",
		"from": "debian-12",
	}
	// The polls before CreateImage vary.
	imageExpires := b.account.RequestedAt["CreateImage"].Add(105 * time.Minute).UTC().Format(time.RFC3339)
	image := map[string]string{
		"Name": "hello-1", "Version": "7", bake.TagBake: awsfake.BakeID, bake.TagExpires: imageExpires,
		bake.TagSource: awsfake.SourceImageID, "team": "images", "from": "debian-12",
		bake.TagInputs: b.account.ImageNamed("us-east-1", "hello-1").Tags[bake.TagInputs],
		bake.TagInputsDetail: "source=" + awsfake.SourceImageID +
			" user-data=" + slowDigest(t, sha256Hex(document))[:16] + " fs=none provisioners=none",
		bake.TagInputsOptions: "ami_description=3e9254 snapshot_tags=c3072f tags=a895c7",
	}
	snapshot := map[string]string{"kind": "snapshot"}
	maps.Copy(snapshot, image)
	for _, c := range []struct {
		action, resource string
		want             map[string]string
	}{
		{"CreateSecurityGroup", "security-group", machine},
		{"RunInstances", "network-interface", machine},
		{"RunInstances", "instance", machine},
		{"RunInstances", "volume", machine},
		{"CreateImage", "image", image},
		{"CreateImage", "snapshot", snapshot},
	} {
		if diff := cmp.Diff(c.want, awsfake.Tags(b.account.Requests[c.action], c.resource)); diff != "" {
			t.Errorf("tags of the %s (-want +got):\n%s", c.resource, diff)
		}
	}
	if got := b.account.Requests["CreateImage"].Get("Description"); got != "hello-1 7" {
		t.Errorf("the description is %q", got)
	}
}

func TestBakeSucceedsDespite(t *testing.T) {
	for name, set := range map[string]func(*testBuild){
		"a lost answer to RunInstances": func(b *testBuild) {
			b.account.FailAfter["RunInstances"] = awsfake.FirstCalls(1, 500, "InternalError")
		},
		"a lost answer to CreateImage": func(b *testBuild) {
			b.account.FailAfter["CreateImage"] = awsfake.FirstCalls(1, 500, "InternalError")
		},
		"a lost answer to CreateSecurityGroup": func(b *testBuild) {
			b.account.FailAfter["CreateSecurityGroup"] = awsfake.FirstCalls(1, 500, "InternalError")
		},
		"an instance EC2 does not know yet": func(b *testBuild) {
			b.account.FailBefore["DescribeInstances"] = awsfake.FirstCalls(3, 400, awscall.CodeInstanceNotFound)
		},
		"an image EC2 does not know yet": func(b *testBuild) {
			b.account.FailBefore["DescribeImages"] = func(n int) *awsfake.Failure {
				if n > 2 && n < 6 {
					return &awsfake.Failure{Status: 400, Code: awscall.CodeImageNotFound}
				}
				return nil
			}
		},
		"throttling for minutes": func(b *testBuild) {
			b.account.FailBefore["DescribeInstances"] = awsfake.FirstCalls(10, 503, "RequestLimitExceeded")
			b.account.FailBefore["GetConsoleOutput"] = awsfake.FirstCalls(5, 503, "RequestLimitExceeded")
		},
		"a machine without the newest console output": func(b *testBuild) {
			b.account.FailBefore["GetConsoleOutput"] = func(int) *awsfake.Failure {
				if b.account.Requests["GetConsoleOutput"].Get("Latest") == "true" {
					return &awsfake.Failure{Status: 400, Code: awscall.CodeUnsupported}
				}
				return nil
			}
		},
		"a machine without a console, but with a log": func(b *testBuild) {
			b.setStaging()
			b.account.FailBefore["GetConsoleOutput"] = awsfake.Always(400, awscall.CodeUnsupported)
			b.uploadLongLog(awsfake.Success)
		},
		"a console that shows its last report late": func(b *testBuild) {
			last := &b.account.Console[len(b.account.Console)-1]
			last.At = 90 * time.Second
		},
		"CreateImage not seeing the machine as stopped yet": func(b *testBuild) {
			b.account.FailBefore["CreateImage"] = awsfake.FirstCalls(5, 400, awscall.CodeInstanceState)
		},
		"RunInstances not knowing the security group yet": func(b *testBuild) {
			b.account.FailBefore["RunInstances"] = awsfake.FirstCalls(3, 400, awscall.CodeGroupNotFound)
		},
		"a security group that is in use for a while": func(b *testBuild) {
			b.account.FailBefore["DeleteSecurityGroup"] = awsfake.FirstCalls(5, 400, awscall.CodeGroupInUse)
		},
		"a source image that keeps its volume": func(b *testBuild) {
			b.account.KeepsRootVolume = true
			b.account.SourceImageXML = "<blockDeviceMapping><item><deviceName>/dev/xvda</deviceName>" +
				"<ebs><deleteOnTermination>false</deleteOnTermination></ebs></item></blockDeviceMapping>"
			b.account.FailBefore["DeleteVolume"] = awsfake.FirstCalls(2, 400, awscall.CodeVolumeInUse)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, artifact, err := runBuild(t, set)
			if err != nil {
				t.Fatalf("%v\n%s", err, b.ui)
			}
			if artifact == nil {
				t.Error("no artifact")
			}
			b.checkOnlyImageLeft()
		})
	}
}

func TestSkipCreateAMIMakesNoImage(t *testing.T) {
	b, artifact, err := runBuild(t, func(b *testBuild) { b.config.SkipCreateAMI = true })
	if err != nil || artifact != nil {
		t.Fatalf("artifact %v, error %v", artifact, err)
	}
	b.checkNothingLeft()
}

func TestOutputFileIsForShell(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.env")
	if _, _, err := runBuild(t, func(b *testBuild) { b.config.OutputFile = path }); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("AMINAME='hello-1'\nAMIID='"+awsfake.NewImageID+"'\n", string(got)); diff != "" {
		t.Errorf("output_file (-want +got):\n%s", diff)
	}
}

func TestBakeLosesFewSecondsWaiting(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.account.StopsAfter = 25 * time.Minute
		b.account.ImagePendingFor = 10 * time.Minute
	})
	if err != nil {
		t.Fatal(err)
	}
	// There are two polls of at most five and a half seconds each. Calls take no time in the bubble.
	_, spent, _ := strings.Cut(b.ui.String(), "total ")
	seconds, err := time.ParseDuration(strings.Replace(strings.TrimSpace(spent), " ", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	if lost := seconds - 35*time.Minute; lost < 0 || lost > 11*time.Second {
		t.Errorf("the bake took %s longer than the machine and the image did", lost)
	}
}
