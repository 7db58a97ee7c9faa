// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"strings"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/terminal"
)

// terminalControls is a sequence that clears a terminal, one that writes to the clipboard, a carriage return that
// overwrites the line, a character that reverses the order of letters, and bytes that are not UTF-8.
const terminalControls = "\x1b[2J\x1b]52;c;cm0=\x07over\rwritten\u202egnp\u009b2J\xff"

func TestTerminalControlsAreReplaced(t *testing.T) {
	for name, set := range map[string]func(*testBuild){
		"from the console of a machine without a verdict": func(b *testBuild) {
			b.account.Console = b.account.Console[:1]
			b.account.Print(time.Second, "login: "+terminalControls+"\n")
		},
		"from an error of EC2": func(b *testBuild) {
			b.account.FailBefore["RunInstances"] = awsfake.Always(400, "Invalid\u202e\u009b2JRequest")
		},
		"from an error of S3": func(b *testBuild) {
			b.setStaging()
			b.account.FailBefore["PUT object"] = awsfake.Always(400, "x")
			b.config.Staging.URL = "s3://" + awsfake.Bucket + "/\u202epre\u009bfix"
		},
		"from the reason EC2 gives for a stop": func(b *testBuild) {
			b.account.StopReason = "Server.\u202eSpot\u009b2J"
		},
		"from the staged log": func(b *testBuild) {
			b.setStaging()
			b.account.Console = nil
			b.uploadLongLog("verdict fail 1 " + terminalControls)
		},
		"from the name of the source image": func(b *testBuild) {
			b.account.SourceImageXML = "<imageLocation>x</imageLocation><description>\u202e</description>"
			b.config.AMIDescription = "of \u202e{{ .SourceAMIName }}"
			b.account.FailBefore["CreateImage"] = awsfake.Always(400, "Invalid\u202eDescription")
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, set)
			if err == nil {
				t.Fatal("the bake succeeded")
			}
			for what, text := range map[string]string{"the error": err.Error(), "the user interface": b.ui.String()} {
				if plain := terminal.Plain(text); plain != text {
					t.Errorf("%s has what a terminal obeys: %q", what, text)
				}
			}
			text := err.Error() + b.ui.String()
			if !strings.Contains(text, `\u202e`) && !strings.Contains(text, "over?written") {
				t.Errorf("it was not shown at all: %q", text)
			}
		})
	}
}

func TestTagsWithSecretsAreRefused(t *testing.T) {
	for name, set := range map[string]func(*Config, string){
		"ami_description": func(c *Config, s string) { c.AMIDescription = "made with " + s },
		"tags":            func(c *Config, s string) { c.Tags = map[string]string{"password": s} },
		"run_tags":        func(c *Config, s string) { c.RunTags = map[string]string{s: "x"} },
		"snapshot_tags": func(c *Config, s string) {
			c.SnapshotTags = map[string]string{"url": "https://b.s3/k?X-Amz-Signature=" + s}
		},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, func(b *testBuild) {
				b.config.AccessKey, b.config.SecretKey = "AKIDOFTHETEST", "the-secret-key-of-"+name
				set(b.config, b.config.SecretKey)
			})
			checkErrorSays(t, err, name, "would hold a secret")
			if text := b.ui.String() + err.Error(); strings.Contains(text, b.config.SecretKey) {
				t.Errorf("the secret was said:\n%s", text)
			}
			if b.launched() {
				t.Error("a machine was run")
			}
		})
	}
}

// A machine may write anything to its console, but only reports with the bake's own id and key count. See
// https://github.com/amibakery/packer-plugin-bakery/blob/main/docs/security.md.
func TestReportsOfOtherBakesAreIgnored(t *testing.T) {
	_, artifact, err := runBuild(t, func(b *testBuild) {
		b.account.Console = nil
		for _, id := range []string{"00000000000000bb", awsfake.BakeID[:15], awsfake.BakeID + "0"} {
			other := guest.Writer{Reader: guest.Reader{BakeID: id, Key: awsfake.ReportKey}, Secret: "x"}
			b.account.Print(2*time.Second, other.Report(1, "clean")+other.Report(2, "verdict ok x"))
		}
		// The verdict was changed, and the code was not.
		b.account.Print(3*time.Second, strings.Replace(awsfake.Report(1, "verdict fail 1 x"), " fail 1", " okay 1", 1))
	})
	if err == nil || artifact != nil || !strings.Contains(err.Error(), "without a verdict") {
		t.Errorf("the error is %v", err)
	}
}
