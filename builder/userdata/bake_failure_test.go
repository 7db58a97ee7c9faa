// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
)

func TestBakeFailsAndLeavesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*testBuild)
		want []string // in the error
	}{
		"when a step of the machine fails": {
			func(b *testBuild) {
				b.account.SetReports("begin 2", "start 2 60_app.cfg", "end 2 7 60_app.cfg runcmd[3]", "tail it broke",
					"verdict failed 7 60_app.cfg runcmd[3]")
			},
			[]string{"60_app.cfg runcmd[3] failed with exit status 7", "it broke"},
		},
		"when the machine stops without a verdict": {
			func(b *testBuild) { b.account.SetReports("begin 2", "start 1 script/install.sh") },
			[]string{"without a verdict", "script/install.sh", "Linux version 6.1.0"},
		},
		"when the machine never reports": {
			func(b *testBuild) { b.account.Console = nil },
			[]string{"without a verdict", "it never reported", "a console that EC2 does not show", "with staging {"},
		},
		"when somebody stops the machine": {
			func(b *testBuild) { b.account.StopReason = "Client.UserInitiatedShutdown" },
			[]string{"did not power itself off", "through the EC2 API"},
		},
		"when the machine stops for a reason that is not known": {
			func(b *testBuild) { b.account.StopReason = "Server.Flooded" },
			[]string{"did not power itself off", "Server.Flooded"},
		},
		"when the machine is terminated": {
			func(b *testBuild) {
				b.account.StopState, b.account.StopReason = "terminated", "Server.SpotInstanceTermination"
			},
			[]string{"was terminated", "spot request"},
		},
		"when the machine does not end": {
			func(b *testBuild) {
				b.account.SetReports("begin 2", "start 1 script/install.sh")
				b.account.StopsAfter = 0
				b.config.InstanceTimeout = 3 * time.Minute
			},
			[]string{"instance_timeout of 3m0s", "script/install.sh"},
		},
		"when the machine cannot be run": {
			func(b *testBuild) {
				b.account.FailBefore["RunInstances"] = awsfake.Always(400, "InstanceLimitExceeded")
			},
			[]string{"run the machine", "InstanceLimitExceeded"},
		},
		"when there is no default VPC": {
			func(b *testBuild) {
				b.config.SecurityGroupID = "sg-1"
				b.account.FailBefore["RunInstances"] = awsfake.Always(400, awscall.CodeNoVPC)
			},
			[]string{"no default VPC", "set subnet_id"},
		},
		"when EC2 does not know yet what it is to remove": {
			func(b *testBuild) {
				b.cancelAfter(time.Second)
				b.account.FailBefore["TerminateInstances"] = awsfake.FirstCalls(3, 400, awscall.CodeInstanceNotFound)
				b.account.FailBefore["DeleteSecurityGroup"] = awsfake.FirstCalls(3, 400, awscall.CodeGroupNotFound)
			},
			[]string{"cancelled"},
		},
		"when EC2 does not know yet of the image it is to remove": {
			func(b *testBuild) {
				b.account.FailBefore["CreateImage"] = awsfake.Then(func() { time.AfterFunc(time.Second/2, b.cancel) })
				b.account.FailBefore["DeregisterImage"] = awsfake.FirstCalls(3, 400, awscall.CodeImageNotFound)
			},
			[]string{"cancelled"},
		},
		"when every answer to RunInstances is lost, and the machine is not found at once": {
			func(b *testBuild) {
				b.account.FailAfter["RunInstances"] = awsfake.Always(500, "InternalError")
				b.account.HiddenFromSearches = 3
			},
			[]string{"run the machine"},
		},
		"when every answer to RunInstances is lost": {
			func(b *testBuild) { b.account.FailAfter["RunInstances"] = awsfake.Always(500, "InternalError") },
			[]string{"run the machine"},
		},
		"when the machine may not be looked at": {
			func(b *testBuild) {
				b.account.FailBefore["DescribeInstances"] = awsfake.FirstCalls(1, 403, "UnauthorizedOperation")
			},
			[]string{"look at instance", "UnauthorizedOperation"},
		},
		"when the console may not be read": {
			func(b *testBuild) {
				b.account.FailBefore["GetConsoleOutput"] = awsfake.Always(403, "UnauthorizedOperation")
			},
			[]string{"the verdict of i-", "comes by its console", "set staging {", "UnauthorizedOperation"},
		},
		"when the image may not be made": {
			func(b *testBuild) { b.account.FailBefore["CreateImage"] = awsfake.Always(403, "UnauthorizedOperation") },
			[]string{"make an image of i-"},
		},
		"when every answer to CreateImage is lost and so is the image": {
			func(b *testBuild) {
				b.account.FailAfter["CreateImage"] = awsfake.Always(500, "InternalError")
				b.account.ImageFinalState = "failed"
			},
			[]string{"is failed"},
		},
		"when the image fails": {
			func(b *testBuild) { b.account.ImageFinalState = "failed" },
			[]string{"image " + awsfake.NewImageID + " is failed"},
		},
		"when the image is not available in time": {
			func(b *testBuild) {
				b.account.ImagePendingFor = time.Hour
				b.config.ImageTimeout = 5 * time.Minute
			},
			[]string{"image_timeout of 5m0s", awsfake.NewImageID},
		},
		"when output_file cannot be written": {
			func(b *testBuild) { b.config.OutputFile = filepath.Join(b.TempDir(), "not", "there") },
			[]string{"output_file"},
		},
		"when it is cancelled while the machine bakes": {
			func(b *testBuild) { b.cancelAfter(8 * time.Second) },
			[]string{"cancelled"},
		},
		"when it is cancelled while the image is being made": {
			func(b *testBuild) { b.cancelAfter(35 * time.Second) },
			[]string{"cancelled"},
		},
		"when its credentials are not valid": {
			func(b *testBuild) {
				b.account.FailBefore["GetCallerIdentity"] = awsfake.Always(403, "InvalidClientTokenId")
			},
			[]string{"check the AWS credentials", "InvalidClientTokenId"},
		},
		"when no staging is set for what is too large": {
			func(b *testBuild) {
				b.setStaging()
				b.config.Staging = nil
			},
			[]string{"16384", "set staging"},
		},
		"when the upload fails": {
			func(b *testBuild) {
				b.setStaging()
				b.account.FailBefore["PUT object"] = awsfake.Always(403, "AccessDenied")
			},
			[]string{"upload to s3://" + awsfake.Bucket + "/some/prefix/"},
		},
		"when the machine with staged files fails": {
			func(b *testBuild) {
				b.setStaging()
				b.account.SetReports("begin 2", "start 1 50_fs", "end 1 1 50_fs", "verdict failed 1 50_fs")
			},
			[]string{"50_fs failed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, artifact, err := runBuild(t, c.set)
			if err == nil || artifact != nil {
				t.Fatalf("the bake succeeded with %v", artifact)
			}
			checkErrorSays(t, err, c.want...)
			b.checkNothingLeft()
		})
	}
}

func TestBakeChecksAccountBeforeLaunch(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.account.AddImage("us-east-1", awsfake.ExistingImageID, "hello-1")
		b.config.SourceAmi = "ami-0dead000000000002"
		b.config.SubnetID, b.config.VpcID = "subnet-1", "vpc-2"
		b.config.Staging = &stagingConfig{URL: "s3://no-such-bucket"}
		b.config.OutputFile = filepath.Join(t.TempDir(), "no-such-directory", "out.env")
	})
	if err == nil {
		t.Fatal("the bake succeeded")
	}
	checkErrorSays(t, err, "output_file", awsfake.ExistingImageID, "force_deregister", "source image", "vpc_id",
		"no-such-bucket")
	if b.launched() {
		t.Error("a machine was run")
	}
}

func TestBakeRendersTextsBeforeLaunch(t *testing.T) {
	for want, set := range map[string]func(*Config){
		`tags: "from": "{{ index .SourceAMIName 99 }}" cannot be rendered`: func(c *Config) {
			c.Tags = map[string]string{"from": "{{ index .SourceAMIName 99 }}"}
		},
		`run_tags: "from": "{{ index .SourceAMIName 99 }}" cannot be rendered`: func(c *Config) {
			c.RunTags = map[string]string{"from": "{{ index .SourceAMIName 99 }}"}
		},
		"run_volume_tags": func(c *Config) {
			c.RunVolumeTags = map[string]string{"from": "{{ index .SourceAMIName 99 }}"}
		},
		"at most 255": func(c *Config) { c.AMIDescription = "{{ .SourceAMI }}" + strings.Repeat("x", 255) },
	} {
		b, _, err := runBuild(t, func(b *testBuild) { set(b.config) })
		if err == nil || !strings.Contains(err.Error(), want) || b.launched() {
			t.Errorf("want %q, got %v after %v", want, err, b.account.Calls)
		}
	}
}

func TestSignaturesThatMachinePrintsAreReplaced(t *testing.T) {
	const url = "https://b.s3/k?X-Amz-Credential=AKIA1&X-Amz-Security-Token=t0ken&X-Amz-Signature=5ecret"
	b, _, err := runBuild(t, func(b *testBuild) {
		b.account.SetReports("begin 1", "tail reading "+url+" failed", "verdict fail 1 cloud-init")
	})
	if err == nil || !strings.Contains(err.Error(), "reading https://b.s3/k?") {
		t.Fatalf("the error is %v", err)
	}
	for _, secret := range []string{"AKIA1", "t0ken", "5ecret"} {
		if strings.Contains(err.Error()+b.ui.String(), secret) {
			t.Errorf("%s is told:\n%v\n%s", secret, err, b.ui)
		}
	}
}

func TestBakeListsWhatItCouldNotRemove(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.account.SetReports("begin 1", "verdict failed 1 60_app.cfg")
		b.account.FailBefore["TerminateInstances"] = awsfake.Always(403, "UnauthorizedOperation")
	})
	checkErrorSays(t, err, "remove instance i-", "60_app.cfg failed")
	b.checkSaid("Not removed:", "get-console-output")
	if b.account.SecurityGroup != "" {
		t.Error("one thing that could not be removed has kept another")
	}
}

// TestEndOfTimeoutIsAnnouncedOnce checks that a bake which nears the end of instance_timeout is told so, once, and that
// one which ends long before is not.
func TestEndOfTimeoutIsAnnouncedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		limit, ends time.Duration // ends: when the machine stops, 0 for never
		want        string
	}{
		"a long limit":   {30 * time.Minute, 0, "instance_timeout of 30m0s is over in "},
		"a short one":    {2 * time.Minute, 0, "instance_timeout of 2m0s is over in "},
		"an early end":   {30 * time.Minute, 10 * time.Minute, ""},
		"a late success": {30 * time.Minute, 26 * time.Minute, "instance_timeout of 30m0s is over in "},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, _ := runBuild(t, func(b *testBuild) {
				b.config.InstanceTimeout = c.limit
				b.account.StopsAfter = c.ends
				b.account.SetReports("begin 2", "start 1 script/install.sh")
			})
			said := b.ui.String()
			if n := strings.Count(said, "is over in"); n != min(1, len(c.want)) || !strings.Contains(said, c.want) {
				t.Errorf("it is said %d times, want %q:\n%s", n, c.want, said)
			}
		})
	}
}
