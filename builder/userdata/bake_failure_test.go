// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

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
		o.cloud.oldImage("us-east-1", oldID, "hello-1")
		o.config.SourceAmi = "ami-0dead000000000002"
		o.config.SubnetID, o.config.VpcID = "subnet-1", "vpc-2"
		o.config.Staging = &StagingConfig{URL: "s3://no-such-bucket"}
		o.config.OutputFile = filepath.Join(t.TempDir(), "no-such-directory", "out.env")
	})
	if err == nil {
		t.Fatal("the bake succeeded")
	}
	for _, want := range []string{"output_file", oldID, "force_deregister", "source image", "vpc_id", "no-such-bucket"} {
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
