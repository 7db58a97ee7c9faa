// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/amibakery/packer-plugin-bakery/internal/terminal"
)

// What a terminal obeys: a sequence that clears it, one that writes to the clipboard, a carriage return that overwrites the
// line, a character that turns the order of letters, and bytes that are no text.
const obeyed = "\x1b[2J\x1b]52;c;cm0=\x07over\rwritten\u202egnp\u009b2J\xff"

func TestNothingATerminalObeysReachesIt(t *testing.T) {
	for name, set := range map[string]func(*oven){
		"from the console of a machine without a verdict": func(o *oven) {
			o.cloud.console = append(o.cloud.console[:1], event{time.Second, "login: " + obeyed + "\n"})
		},
		"from an error of EC2": func(o *oven) { o.cloud.broken["RunInstances"] = always(400, "Invalid\u202e\u009b2JRequest") },
		"from an error of S3": func(o *oven) {
			o.stage()
			o.cloud.broken["PUT object"] = always(400, "x")
			o.config.Staging.URL = "s3://" + bucket + "/\u202epre\u009bfix"
		},
		"from the reason EC2 gives for a stop": func(o *oven) { o.cloud.reason = "Server.\u202eSpot\u009b2J" },
		"from the staged log": func(o *oven) {
			o.stage()
			o.cloud.console = nil
			o.logged("verdict fail 1 " + obeyed)
		},
		"from the name of the source image": func(o *oven) {
			o.cloud.sourceImage = "<imageLocation>x</imageLocation><description>\u202e</description>"
			o.config.AMIDescription = "of \u202e{{ .SourceAMIName }}"
			o.cloud.broken["CreateImage"] = always(400, "Invalid\u202eDescription")
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, _, err := bakes(t, set)
			if err == nil {
				t.Fatal("the bake succeeded")
			}
			for what, text := range map[string]string{"the error": err.Error(), "the user interface": o.ui.String()} {
				if plain := terminal.Plain(text); plain != text {
					t.Errorf("%s has what a terminal obeys: %q", what, text)
				}
			}
			if text := err.Error() + o.ui.String(); !strings.Contains(text, `\u202e`) && !strings.Contains(text, "over?written") {
				t.Errorf("it was not shown at all: %q", text)
			}
		})
	}
}

func TestATagThatHoldsASecretIsRefused(t *testing.T) {
	for name, set := range map[string]func(*Config, string){
		"ami_description": func(c *Config, s string) { c.AMIDescription = "made with " + s },
		"tags":            func(c *Config, s string) { c.Tags = map[string]string{"password": s} },
		"run_tags":        func(c *Config, s string) { c.RunTags = map[string]string{s: "x"} },
		"snapshot_tags": func(c *Config, s string) {
			c.SnapshotTags = map[string]string{"url": "https://b.s3/k?X-Amz-Signature=" + s}
		},
	} {
		t.Run(name, func(t *testing.T) {
			o, _, err := bakes(t, func(o *oven) {
				o.config.AccessKey, o.config.SecretKey = "AKIDOFTHETEST", "the-secret-key-of-"+name
				set(o.config, o.config.SecretKey)
			})
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "would hold a secret") {
				t.Errorf("the error is %v", err)
			}
			if text := o.ui.String() + err.Error(); strings.Contains(text, o.config.SecretKey) {
				t.Errorf("the secret was said:\n%s", text)
			}
			if o.cloud.count("RunInstances") > 0 {
				t.Error("a machine was run")
			}
		})
	}
}

// A machine may write anything to its console, but only what carries the bake's own id counts, and that is the machine's own
// word: https://github.com/amibakery/packer-plugin-bakery/blob/main/docs/security.md.
func TestReportsOfOtherBakesAreNotHeard(t *testing.T) {
	_, artifact, err := bakes(t, func(o *oven) {
		o.cloud.console = []event{
			{time.Second, reportLine("00000000000000bb", 1, "verdict ok 0 -")},
			{2 * time.Second, reportLine(testBake[:15], 1, "verdict ok 0 -")},
			{2 * time.Second, reportLine(testBake+"0", 1, "verdict ok 0 -")},
			{3 * time.Second, strings.Replace(reportLine(testBake, 1, "verdict ok 0 -"), " ok ", " fail ", 1)},
		}
	})
	if err == nil || artifact != nil || !strings.Contains(err.Error(), "without a verdict") {
		t.Errorf("the error is %v", err)
	}
}

// A machine may put anything into the one object it may write.
func TestALogThatUnpacksWithoutEndIsCutOff(t *testing.T) {
	const limit = 1 << 20
	bomb := zipped(t, strings.Repeat(reportLine(testBake, 1, "warn x"), 20*limit/40))
	unzipped, err := unzip(strings.NewReader(bomb), limit)
	if err != nil {
		t.Fatal(err)
	}
	n, err := io.Copy(io.Discard, unzipped)
	if n != limit || !errors.Is(err, errEndlessLog) {
		t.Errorf("%d bytes of %d are read: %v", n, len(bomb), err)
	}
	unzipped, err = unzip(strings.NewReader(zipped(t, "a log")), limit)
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(unzipped); err != nil || string(text) != "a log" {
		t.Errorf("a log of a machine is %q, %v", text, err)
	}
}

// renewed are credentials that are others each time, as those of a role are after a quarter of an hour.
func renewed() aws.CredentialsProvider {
	n := 0
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		n++
		return aws.Credentials{
			AccessKeyID: "AKIDTESTTESTTEST", SecretAccessKey: fmt.Sprintf("renewed-key-%d", n), SessionToken: fmt.Sprintf("renewed-token-%d", n),
		}, nil
	})
}

func TestCredentialsThatWereRenewedAreNotSaid(t *testing.T) {
	credentials := hiding{renewed()}
	for range 3 {
		c, err := credentials.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if said := blot("with " + c.SecretAccessKey + " and " + c.SessionToken); said != "with <sensitive> and <sensitive>" {
			t.Errorf("it is said %q", said)
		}
	}
}
