// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/awsconfig"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// testFolder is what a bake stages below, that begins when a bubble does.
const testFolder = "bakery-20000101T013000Z-" + testBake

// oven is a bake in a test: of a small script, unless the test says otherwise.
type oven struct {
	*testing.T
	cloud  *cloud
	config *Config
	hook   packersdk.Hook
	ui     *bytes.Buffer
	ctx    context.Context
	cancel context.CancelFunc
	hurry  chan struct{} // closed for the user's second interrupt
}

// bakes runs a bake in a bubble of its own time, and returns what Packer gets.
func bakes(t *testing.T, set func(*oven)) (*oven, packersdk.Artifact, error) {
	t.Helper()
	o := &oven{
		T: t, cloud: newCloud(t), hook: &packersdk.DispatchHook{}, ui: new(bytes.Buffer), ctx: t.Context(),
		config: &Config{
			SourceConfig: SourceConfig{SourceAmi: sourceID},
			ImageConfig:  ImageConfig{AMIName: "hello-1"},
			LogConfig:    LogConfig{LogFile: os.DevNull},
		},
	}
	o.config.UserData = "#!/bin/sh\ntrue\n"
	var artifact packersdk.Artifact
	var err error
	synctest.Test(t, func(t *testing.T) {
		o.ctx, o.cancel = context.WithCancel(t.Context())
		defer o.cancel()
		if set != nil {
			set(o)
		}
		if _, problems := o.config.check(); problems != nil {
			t.Fatal(problems)
		}
		ui := &packersdk.BasicUi{Writer: o.ui, ErrorWriter: o.ui, PB: &packersdk.NoopProgressTracker{}}
		b := newBake(o.config, ui)
		b.id, b.key = testBake, testKey
		b.load = o.cloud.load
		b.hurry = o.hurry
		artifact, err = b.run(o.ctx, o.hook)
	})
	return o, artifact, err
}

func (c *cloud) load(_ context.Context, s *awsconfig.Settings) (aws.Config, error) {
	cfg, err := s.Load(c.t.Context())
	cfg.HTTPClient = c
	return cfg, err
}

// cancelAfter cancels the bake, as an interrupted Packer does.
func (o *oven) cancelAfter(d time.Duration) {
	time.AfterFunc(d, o.cancel)
}

// stage gives the bake a bucket, and an fs/ that is too large to travel inside the user data.
func (o *oven) stage() {
	o.config.UserData = ""
	o.config.ImageSource = imageSource(o.T, 20_000)
	o.config.Staging = &StagingConfig{URL: "s3://" + bucket + "/some/prefix"}
}

// imageSource is a directory with so many bytes in fs/ that no compression makes fewer.
func imageSource(t *testing.T, size int) string {
	dir := t.TempDir()
	noise := make([]byte, size)
	_, _ = rand.Read(noise)
	for name, content := range map[string]string{
		"ami.env":             "NAME=hello\nVERSION=1.2\n",
		"readme.md":           "A test.\n",
		"script/install.sh":   "#!/bin/sh\ntrue\n",
		"cloudinit/60_a.cfg":  "#cloud-config\nruncmd: [ 'true' ]\n",
		"fs/opt/hello/noise":  string(noise),
		"cloudinit/70_b.cfg":  "#cloud-config\npackages: [ hello ]\n",
		"fs/etc/hello.config": "x\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestMain(m *testing.M) {
	// The SDK's own loader is part of what is tested, so it must not see whose machine this is.
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			_ = os.Unsetenv(name)
		}
	}
	for name, value := range map[string]string{
		"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIDTESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "secret-of-the-test",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
	} {
		_ = os.Setenv(name, value)
	}
	flag.Parse()
	os.Exit(m.Run())
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestBakeMakesAnImageAndLeavesNothingElse(t *testing.T) {
	o, artifact, err := bakes(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := artifact.Id(), "us-east-1:"+newID; got != want {
		t.Errorf("the artifact is %s, want %s", got, want)
	}
	if diff := cmp.Diff([]string{newID, "snap-of-" + newID}, o.cloud.left()); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{
		"InstanceInitiatedShutdownBehavior": "stop", "MetadataOptions.HttpTokens": "required", "ImageId": sourceID,
		"InstanceType": "t3.nano", "SecurityGroupId.1": "sg-new", "ClientToken": testBake, "KeyName": "",
	} {
		if got := o.cloud.form["RunInstances"].Get(name); got != want {
			t.Errorf("the machine was run with %s = %q, want %q", name, got, want)
		}
	}
}

func TestBakeTellsTheMachinesProgress(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.cloud.reports("begin 2", "start 1 script/install.sh", "warn no clock", "end 1 0 script/install.sh", "boot 2",
			"start 2 60_app.cfg", "end 2 0 60_app.cfg", "verdict ok 0 -")
		o.cloud.stops = 30 * time.Second
	})
	if err != nil {
		t.Fatal(err)
	}
	// Whole seconds depend on the jitter of the polls; the rest does not.
	golden(t, "progress.txt", withoutNumbers(o.ui.String()))
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

func TestBakeTagsEverythingItMakes(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.config.RunTags = map[string]string{"team": "ovens", "from": "{{ .SourceAMIName }}"}
		o.config.Tags = map[string]string{"team": "images"}
		o.config.SnapshotTags = map[string]string{"kind": "snapshot"}
		o.config.ImageVersion = "7"
	})
	if err != nil {
		t.Fatal(err)
	}
	document, err := guest.Wrap([]byte(o.config.UserData))
	if err != nil {
		t.Fatal(err)
	}
	expires := func(action string) string { // both timeouts and the margin, from when it was asked: the polls before it vary
		return o.cloud.at[action].Add(90 * time.Minute).UTC().Format(time.RFC3339)
	}
	machine := map[string]string{"Name": "bakery hello-1", tagBake: testBake, tagExpires: expires("RunInstances"), "team": "ovens", "from": "debian-12"}
	image := map[string]string{
		"Name": "hello-1", "Version": "7", tagBake: testBake, tagExpires: expires("CreateImage"), tagSource: sourceID, "team": "images", "from": "debian-12",
		tagUserData:      "9ab8fabc8c72bfa0416414631e26bd71b01f9dfae98dcf4656b1e2d78307876a",
		tagInputs:        o.image("us-east-1", "hello-1").tags[tagInputs],
		tagInputsDetail:  "source=" + sourceID + " user-data=" + sumOf(string(document))[:inputDigits] + " fs=none provisioners=none",
		tagInputsOptions: "ami_description=abf617 snapshot_tags=b1cd35 tags=d81151",
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
		if diff := cmp.Diff(c.want, tagsOf(o.cloud.form[c.action], c.resource)); diff != "" {
			t.Errorf("tags of the %s (-want +got):\n%s", c.resource, diff)
		}
	}
	if got := o.cloud.form["CreateImage"].Get("Description"); got != "hello-1 7" {
		t.Errorf("the description is %q", got)
	}
}

func tagsOf(form map[string][]string, resource string) map[string]string {
	tags := map[string]string{}
	for name, values := range form {
		prefix, isType := strings.CutSuffix(name, ".ResourceType")
		if !isType || values[0] != resource {
			continue
		}
		for key, k := range form {
			if strings.HasPrefix(key, prefix+".Tag.") && strings.HasSuffix(key, ".Key") {
				tags[k[0]] = form[strings.TrimSuffix(key, ".Key")+".Value"][0]
			}
		}
	}
	return tags
}

func TestBakeOutlives(t *testing.T) {
	for name, set := range map[string]func(*oven){
		"an answer to RunInstances that was lost": func(o *oven) { o.cloud.lost["RunInstances"] = first(1, 500, "InternalError") },
		"an answer to CreateImage that was lost":  func(o *oven) { o.cloud.lost["CreateImage"] = first(1, 500, "InternalError") },
		"an answer to CreateSecurityGroup that was lost": func(o *oven) {
			o.cloud.lost["CreateSecurityGroup"] = first(1, 500, "InternalError")
		},
		"an instance EC2 does not know yet": func(o *oven) {
			o.cloud.broken["DescribeInstances"] = first(3, 400, codeInstanceNotFound)
		},
		"an image EC2 does not know yet": func(o *oven) {
			o.cloud.broken["DescribeImages"] = func(n int) *failure {
				if n > 2 && n < 6 {
					return &failure{400, codeImageNotFound}
				}
				return nil
			}
		},
		"throttling for minutes": func(o *oven) {
			o.cloud.broken["DescribeInstances"] = first(10, 503, "RequestLimitExceeded")
			o.cloud.broken["GetConsoleOutput"] = first(5, 503, "RequestLimitExceeded")
		},
		"a machine whose newest console text cannot be had": func(o *oven) {
			o.cloud.broken["GetConsoleOutput"] = func(int) *failure {
				if o.cloud.form["GetConsoleOutput"].Get("Latest") == "true" {
					return &failure{400, codeUnsupported}
				}
				return nil
			}
		},
		"a machine that has no console at all, but a log": func(o *oven) {
			o.stage()
			o.cloud.broken["GetConsoleOutput"] = always(400, codeUnsupported)
			o.logged("verdict ok 0 -")
		},
		"a console that shows its end late": func(o *oven) {
			last := &o.cloud.console[len(o.cloud.console)-1]
			last.at = 90 * time.Second
		},
		"an image maker that has not noticed the stop": func(o *oven) {
			o.cloud.broken["CreateImage"] = first(5, 400, codeInstanceState)
		},
		"a security group that EC2's launcher does not know yet": func(o *oven) {
			o.cloud.broken["RunInstances"] = first(3, 400, codeGroupNotFound)
		},
		"a security group that is in use for a while": func(o *oven) {
			o.cloud.broken["DeleteSecurityGroup"] = first(5, 400, codeGroupInUse)
		},
		"a source image that keeps its volume": func(o *oven) {
			o.cloud.sourceImage = "<blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><deleteOnTermination>false</deleteOnTermination></ebs></item></blockDeviceMapping>"
			o.cloud.broken["DeleteVolume"] = first(2, 400, codeVolumeInUse)
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, artifact, err := bakes(t, set)
			if err != nil {
				t.Fatalf("%v\n%s", err, o.ui)
			}
			if artifact == nil {
				t.Error("no artifact")
			}
			if diff := cmp.Diff([]string{newID, "snap-of-" + newID}, o.cloud.left()); diff != "" {
				t.Errorf("what is left (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBakeFailsAndLeavesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*oven)
		want []string // in the error
	}{
		"when a step of the machine fails": {
			func(o *oven) {
				o.cloud.reports("begin 2", "start 2 60_app.cfg", "end 2 7 60_app.cfg runcmd[3]", "tail it broke",
					"verdict failed 7 60_app.cfg runcmd[3]")
			},
			[]string{"60_app.cfg runcmd[3] failed with exit status 7", "it broke"},
		},
		"when the machine stops without a verdict": {
			func(o *oven) { o.cloud.reports("begin 2", "start 1 script/install.sh") },
			[]string{"without a verdict", "script/install.sh", "Linux version 6.1.0"},
		},
		"when the machine never reports": {
			func(o *oven) { o.cloud.console = nil },
			[]string{"without a verdict", "it never reported"},
		},
		"when somebody stops the machine": {
			func(o *oven) { o.cloud.reason = "Client.UserInitiatedShutdown" },
			[]string{"did not power itself off", "through the EC2 API"},
		},
		"when the machine stops for a reason that is not known": {
			func(o *oven) { o.cloud.reason = "Server.Flooded" },
			[]string{"did not power itself off", "Server.Flooded"},
		},
		"when the machine is terminated": {
			func(o *oven) { o.cloud.state, o.cloud.reason = "terminated", "Server.SpotInstanceTermination" },
			[]string{"was terminated", "spot request"},
		},
		"when the machine does not end": {
			func(o *oven) {
				o.cloud.reports("begin 2", "start 1 script/install.sh")
				o.cloud.stops = 0
				o.config.InstanceTimeout = 3 * time.Minute
			},
			[]string{"instance_timeout of 3m0s", "script/install.sh"},
		},
		"when the machine cannot be run": {
			func(o *oven) { o.cloud.broken["RunInstances"] = always(400, "InstanceLimitExceeded") },
			[]string{"run the machine", "InstanceLimitExceeded"},
		},
		"when there is no default VPC": {
			func(o *oven) {
				o.config.SecurityGroupID = "sg-1"
				o.cloud.broken["RunInstances"] = always(400, codeNoVPC)
			},
			[]string{"no default VPC", "set subnet_id"},
		},
		"when EC2 does not know yet what it is to remove": {
			func(o *oven) {
				o.cancelAfter(time.Second)
				o.cloud.broken["TerminateInstances"] = first(3, 400, codeInstanceNotFound)
				o.cloud.broken["DeleteSecurityGroup"] = first(3, 400, codeGroupNotFound)
			},
			[]string{"cancelled"},
		},
		"when EC2 does not know yet of the image it is to remove": {
			func(o *oven) {
				o.cloud.broken["CreateImage"] = func(int) *failure { time.AfterFunc(time.Second/2, o.cancel); return nil }
				o.cloud.broken["DeregisterImage"] = first(3, 400, codeImageNotFound)
			},
			[]string{"cancelled"},
		},
		"when every answer to RunInstances is lost, and the machine is not found at once": {
			func(o *oven) {
				o.cloud.lost["RunInstances"] = always(500, "InternalError")
				o.cloud.unfound = 3
			},
			[]string{"run the machine"},
		},
		"when every answer to RunInstances is lost": {
			func(o *oven) { o.cloud.lost["RunInstances"] = always(500, "InternalError") },
			[]string{"run the machine"},
		},
		"when the machine may not be looked at": {
			func(o *oven) { o.cloud.broken["DescribeInstances"] = first(1, 403, "UnauthorizedOperation") },
			[]string{"look at instance", "UnauthorizedOperation"},
		},
		"when the console may not be read": {
			func(o *oven) { o.cloud.broken["GetConsoleOutput"] = always(403, "UnauthorizedOperation") },
			[]string{"without a verdict", "UnauthorizedOperation"},
		},
		"when the image may not be made": {
			func(o *oven) { o.cloud.broken["CreateImage"] = always(403, "UnauthorizedOperation") },
			[]string{"make an image of i-"},
		},
		"when every answer to CreateImage is lost and so is the image": {
			func(o *oven) {
				o.cloud.lost["CreateImage"] = always(500, "InternalError")
				o.cloud.imageEnd = "failed"
			},
			[]string{"is failed"},
		},
		"when the image fails": {
			func(o *oven) { o.cloud.imageEnd = "failed" },
			[]string{"image " + newID + " is failed"},
		},
		"when the image is not available in time": {
			func(o *oven) {
				o.cloud.pending = time.Hour
				o.config.ImageTimeout = 5 * time.Minute
			},
			[]string{"image_timeout of 5m0s", newID},
		},
		"when output_file cannot be written": {
			func(o *oven) { o.config.OutputFile = filepath.Join(o.TempDir(), "not", "there") },
			[]string{"output_file"},
		},
		"when it is cancelled while the machine bakes": {
			func(o *oven) { o.cancelAfter(8 * time.Second) },
			[]string{"cancelled"},
		},
		"when it is cancelled while the image is being made": {
			func(o *oven) { o.cancelAfter(35 * time.Second) },
			[]string{"cancelled"},
		},
		"when its credentials are not valid": {
			func(o *oven) { o.cloud.broken["GetCallerIdentity"] = always(403, "InvalidClientTokenId") },
			[]string{"check the AWS credentials", "InvalidClientTokenId"},
		},
		"when no staging is set for what is too large": {
			func(o *oven) {
				o.stage()
				o.config.Staging = nil
			},
			[]string{"16384", "set staging"},
		},
		"when the upload fails": {
			func(o *oven) {
				o.stage()
				o.cloud.broken["PUT object"] = always(403, "AccessDenied")
			},
			[]string{"upload to s3://" + bucket + "/some/prefix/"},
		},
		"when the machine with staged files fails": {
			func(o *oven) {
				o.stage()
				o.cloud.reports("begin 2", "start 1 50_fs", "end 1 1 50_fs", "verdict failed 1 50_fs")
			},
			[]string{"50_fs failed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, artifact, err := bakes(t, c.set)
			if err == nil || artifact != nil {
				t.Fatalf("the bake succeeded with %v", artifact)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
			if left := o.cloud.left(); len(left) > 0 {
				t.Errorf("left behind: %v\n%s", left, o.ui)
			}
		})
	}
}

func TestBakeChecksTheAccountBeforeItSpendsMoney(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.cloud.oldImage("us-east-1", "ami-0dead000000000001", "hello-1")
		o.config.SourceAmi = "ami-0dead000000000002"
		o.config.SubnetID, o.config.VpcID = "subnet-1", "vpc-2"
		o.config.Staging = &StagingConfig{URL: "s3://no-such-bucket"}
		o.config.OutputFile = filepath.Join(t.TempDir(), "no-such-directory", "out.env")
	})
	if err == nil {
		t.Fatal("the bake succeeded")
	}
	for _, want := range []string{"output_file", "ami-0dead000000000001", "force_deregister", "source image", "vpc_id", "no-such-bucket"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if slices.Contains(o.cloud.calls, "RunInstances") {
		t.Error("a machine was run")
	}
}

func TestBakeRendersItsTextsBeforeItSpendsMoney(t *testing.T) {
	for want, set := range map[string]func(*Config){
		"render tags":     func(c *Config) { c.Tags = map[string]string{"from": "{{ .SourceAmi }}"} },
		"render run_tags": func(c *Config) { c.RunTags = map[string]string{"from": "{{ .SourceAmi }}"} },
		"run_volume_tags": func(c *Config) { c.RunVolumeTags = map[string]string{"from": "{{ .SourceAmi }}"} },
		"at most 255":     func(c *Config) { c.AMIDescription = "{{ .SourceAMI }}" + strings.Repeat("x", 255) },
	} {
		o, _, err := bakes(t, func(o *oven) { set(o.config) })
		if err == nil || !strings.Contains(err.Error(), want) || slices.Contains(o.cloud.calls, "RunInstances") {
			t.Errorf("want %q, got %v after %v", want, err, o.cloud.calls)
		}
	}
}

func TestBakeTellsNoSignatureThatTheMachinePrinted(t *testing.T) {
	const url = "https://b.s3/k?X-Amz-Credential=AKIA1&X-Amz-Security-Token=t0ken&X-Amz-Signature=5ecret"
	o, _, err := bakes(t, func(o *oven) {
		o.cloud.reports("begin 1", "tail reading "+url+" failed", "verdict fail 1 cloud-init")
	})
	if err == nil || !strings.Contains(err.Error(), "reading https://b.s3/k?") {
		t.Fatalf("the error is %v", err)
	}
	for _, secret := range []string{"AKIA1", "t0ken", "5ecret"} {
		if strings.Contains(err.Error()+o.ui.String(), secret) {
			t.Errorf("%s is told:\n%v\n%s", secret, err, o.ui)
		}
	}
}

func TestBakeReplacesTheImageOfItsNameOnlyAfterSuccess(t *testing.T) {
	const old = "ami-0dead000000000001"
	replace := func(o *oven) {
		o.cloud.oldImage("us-east-1", old, "hello-1")
		o.config.ForceDeregister = true
	}
	o, _, err := bakes(t, replace)
	if err != nil {
		t.Fatal(err)
	}
	if _, there := o.cloud.images[old]; there {
		t.Error("the old image is still there")
	}
	o, _, err = bakes(t, func(o *oven) {
		replace(o)
		o.cloud.reports("begin 1", "verdict failed 1 60_app.cfg")
	})
	if err == nil {
		t.Fatal("the bake succeeded")
	}
	if _, there := o.cloud.images[old]; !there {
		t.Error("a failed bake has taken the old image")
	}
}

func TestBakeStagesWhatIsLargeAndRemovesIt(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) { o.stage() })
	if err != nil {
		t.Fatal(err)
	}
	if left := o.cloud.objects(); len(left) > 0 {
		t.Errorf("left in the bucket: %v", left)
	}
	document := string(o.cloud.userData())
	if document == "" {
		t.Error("no user data")
	}
	if tags := tagsOf(o.cloud.form["CreateImage"], "image"); len(tags[tagFS]) != 64 || tags["Name"] != "hello" || tags["Version"] != "1.2" {
		t.Errorf("the image's tags are %v", tags)
	}
}

func TestBakeTellsTheMachineTheRegionItSignsWith(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.stage()
		o.config.IamInstanceProfile = "baker"
		o.config.Staging.Delivery, o.config.Staging.Region = deliveryProfile, "eu-west-3"
	})
	if err != nil {
		t.Fatal(err)
	}
	if document := string(o.cloud.userData()); !strings.Contains(document, "BAKERY_REGION='eu-west-3'") {
		t.Errorf("the region of the bucket is not in\n%.600s", document)
	}
}

func TestBakesOfTheSameFilesDoNotRemoveEachOthers(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) { o.stage() })
	if err != nil {
		t.Fatal(err)
	}
	if document := string(o.cloud.userData()); !strings.Contains(document, "/some/prefix/"+testFolder+"/fs.tgz?") {
		t.Errorf("the machine fetches what another bake may remove:\n%.900s", document)
	}
}

func TestBakeUploadsTheSameFilesOnce(t *testing.T) {
	dir := imageSource(t, 20_000)
	var kept *cloud
	for i, uploads := range []int{1, 0} {
		o, _, err := bakes(t, func(o *oven) {
			if kept != nil {
				o.cloud.s3, o.cloud.s3mem = kept.s3, kept.s3mem
			}
			o.stage()
			o.config.ImageSource = dir
			o.config.Staging.Keep = true
		})
		if err != nil {
			t.Fatal(err)
		}
		kept = o.cloud
		if got := o.cloud.count("PUT object"); got != uploads {
			t.Errorf("bake %d uploaded %d objects, want %d", i+1, got, uploads)
		}
		if got := len(o.cloud.objects()); got != 1 {
			t.Errorf("bake %d left %d objects, want fs.tgz alone: %v", i+1, got, o.cloud.objects())
		}
	}
}

func TestBakeIncludesUserDataThatIsTooLarge(t *testing.T) {
	noise := make([]byte, 15_000)
	_, _ = rand.Read(noise)
	o, _, err := bakes(t, func(o *oven) {
		o.config.UserData = "#!/bin/sh\n: '" + strings.ToValidUTF8(string(noise), "") + string(noise) + "'\n"
		o.config.Verdict = verdictStop
		o.config.Staging = &StagingConfig{URL: "s3://" + bucket}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\n#include-once\nhttps://", "\nwant='", "\nstay='1'\n"} {
		if got := string(o.cloud.userData()); !strings.Contains(got, want) {
			t.Errorf("the machine was launched without %q, with\n%s", want, got)
		}
	}
	if strings.Contains(o.ui.String(), "X-Amz-Signature") {
		t.Error("a signed URL was shown")
	}
	if left := o.cloud.objects(); len(left) > 0 {
		t.Errorf("left in the bucket: %v", left)
	}
}

func TestBakeFindsTheVerdictInTheStagedLog(t *testing.T) {
	_, _, err := bakes(t, func(o *oven) {
		o.stage()
		o.cloud.console = nil
		o.logged("verdict ok 0 -")
	})
	if err != nil {
		t.Fatal(err)
	}
}

// logged lets the machine upload a long log that ends with a report.
func (o *oven) logged(text string) {
	log := zipped(o.T, strings.Repeat("x\n", 3<<20)+reportLine(testBake, 9, text))
	time.AfterFunc(10*time.Second, func() {
		key := "some/prefix/" + testFolder + "/" + logKey
		if _, err := o.cloud.s3mem.PutObject(o.ctx, bucket, key, nil, strings.NewReader(log), int64(len(log))); err != nil {
			o.Error(err)
		}
	})
}

func zipped(t *testing.T, text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestBakeMakesNoImageWithSkipCreateAMI(t *testing.T) {
	o, artifact, err := bakes(t, func(o *oven) { o.config.SkipCreateAMI = true })
	if err != nil || artifact != nil {
		t.Fatalf("artifact %v, error %v", artifact, err)
	}
	if left := o.cloud.left(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestBakeWritesOutputFileForAShell(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.env")
	if _, _, err := bakes(t, func(o *oven) { o.config.OutputFile = path }); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("AMINAME='hello-1'\nAMIID='"+newID+"'\n", string(got)); diff != "" {
		t.Errorf("output_file (-want +got):\n%s", diff)
	}
}

func TestBakeTellsWhatItCouldNotRemove(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.cloud.reports("begin 1", "verdict failed 1 60_app.cfg")
		o.cloud.broken["TerminateInstances"] = always(403, "UnauthorizedOperation")
	})
	if err == nil || !strings.Contains(err.Error(), "remove instance i-") || !strings.Contains(err.Error(), "60_app.cfg failed") {
		t.Errorf("the error is %v", err)
	}
	if !strings.Contains(o.ui.String(), "Not removed:") || !strings.Contains(o.ui.String(), "get-console-output") {
		t.Errorf("the user is told\n%s", o.ui)
	}
	if o.cloud.group != "" {
		t.Error("one thing that could not be removed has kept another")
	}
}

func TestBakeThatIsCancelledWhenItsImageIsCompleteTellsOfIt(t *testing.T) {
	for _, action := range []string{"EnableImageDeregistrationProtection", "TerminateInstances"} {
		o, artifact, err := bakes(t, func(o *oven) {
			o.config.DeregistrationProtection.Enabled = true
			o.cloud.broken[action] = func(int) *failure { o.cancel(); return nil }
			o.cloud.broken["DeleteSecurityGroup"] = first(2, 400, codeGroupInUse)
		})
		if err != nil || artifact == nil {
			t.Errorf("cancelled in %s: artifact %v, error %v; left: %v", action, artifact, err, o.cloud.left())
		}
	}
}

func TestBakeKeepsTheMachineWithOnErrorAbort(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.config.PackerOnError = "abort"
		o.cloud.reports("begin 1", "verdict failed 1 60_app.cfg")
	})
	if err == nil || o.cloud.instanceState == "terminated" {
		t.Fatalf("error %v, the instance is %q", err, o.cloud.instanceState)
	}
	if !strings.Contains(o.ui.String(), "instance "+o.cloud.instance) || !strings.Contains(o.ui.String(), "get-console-output") {
		t.Errorf("the user is told\n%s", o.ui)
	}
}

func TestAbortedBakeSaysHowToRemoveWhatItLeaves(t *testing.T) {
	o, _, _ := bakes(t, func(o *oven) {
		o.stage()
		o.config.PackerOnError = "abort"
		o.cloud.reports("begin 1", "verdict failed 1 60_app.cfg")
	})
	const where = " --region us-east-1"
	for _, want := range []string{
		"    aws ec2 terminate-instances --instance-ids " + o.cloud.instance + where,
		"    aws ec2 delete-security-group --group-id sg-new" + where,
		"    aws s3 rm s3://" + bucket + "/some/prefix/" + testFolder + "/log.gz" + where,
		"longer: aws ec2 delete-tags --tags Key=bakery:expires --resources " + o.cloud.instance + " vol-root" + where,
	} {
		if !strings.Contains(o.ui.String(), want+"\n") {
			t.Errorf("the user is not told %q:\n%s", want, o.ui)
		}
	}
}

func TestCommandsAreQuoted(t *testing.T) {
	b := &bake{config: &Config{}}
	b.config.Profile = "it's mine"
	if got, want := b.cli("a b", "s3 rm %s", word("s3://x/$(y)")), `aws s3 rm 's3://x/$(y)' --region 'a b' --profile 'it'\''s mine'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestSecondInterruptCutsTheCleanUpShort(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.stage()
		o.hurry = make(chan struct{})
		o.cancelAfter(10 * time.Second)
		o.cloud.broken["DeleteSecurityGroup"] = always(400, codeGroupInUse)
		time.AfterFunc(12*time.Second, func() { close(o.hurry) })
	})
	if err == nil || !strings.Contains(o.ui.String(), "delete-security-group --group-id sg-new") || !strings.Contains(o.ui.String(), "interrupted again") {
		t.Errorf("%v, the user is told\n%s", err, o.ui)
	}
	if diff := cmp.Diff([]string{"bakery-" + testBake}, o.cloud.left()); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
	if _, total, _ := strings.Cut(o.ui.String(), ", total "); !strings.HasPrefix(total, "17.") && !strings.HasPrefix(total, "18.") {
		t.Errorf("it took %s", total)
	}
}

func TestBakeNoticesTheEndOfTheMachineAtOnce(t *testing.T) {
	o, _, err := bakes(t, func(o *oven) {
		o.cloud.stops = 25 * time.Minute
		o.cloud.pending = 10 * time.Minute
	})
	if err != nil {
		t.Fatal(err)
	}
	// Two polls of at most five and a half seconds, and what a call takes in the bubble: nothing.
	_, spent, _ := strings.Cut(o.ui.String(), "total ")
	seconds, err := time.ParseDuration(strings.Replace(strings.TrimSpace(spent), " ", "", 1))
	if err != nil {
		t.Fatal(err)
	}
	if lost := seconds - 35*time.Minute; lost < 0 || lost > 11*time.Second {
		t.Errorf("the bake took %s longer than the machine and the image did", lost)
	}
}

func credentialsThatExpire(in time.Duration) aws.CredentialsProvider {
	c := credentials.NewStaticCredentialsProvider("AKIDTESTTESTTEST", "secret", "token")
	c.Value.CanExpire, c.Value.Expires = true, time.Now().Add(in)
	return c
}

func TestBakeWarnsOfCredentialsThatEndBeforeTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud(t)
		ui := new(bytes.Buffer)
		b := newBake(&Config{WatchConfig: WatchConfig{InstanceTimeout: time.Hour}},
			&packersdk.BasicUi{Writer: ui, ErrorWriter: ui, PB: &packersdk.NoopProgressTracker{}})
		cfg, err := c.load(t.Context(), &b.config.Settings)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Credentials = credentialsThatExpire(10 * time.Minute)
		b.aws.config = cfg
		b.warnOfExpiry(t.Context())
		if !strings.Contains(ui.String(), "expire in 10m0s") {
			t.Errorf("the user is told %q", ui)
		}
	})
}
