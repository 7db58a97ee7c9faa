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

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

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
	expires := "2000-01-01T01:30:00Z" // the bubble's first second, both timeouts, and the margin
	machine := map[string]string{"Name": "bakery hello-1", tagBake: testBake, tagExpires: expires, "team": "ovens", "from": "debian-12"}
	imageExpires := o.cloud.at["CreateImage"].Add(90 * time.Minute).UTC().Format(time.RFC3339) // the polls before it vary
	image := map[string]string{
		"Name": "hello-1", "Version": "7", tagBake: testBake, tagExpires: imageExpires, tagSource: sourceID, "team": "images", "from": "debian-12",
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
