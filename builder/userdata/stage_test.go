// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bytes"
	"crypto/rand"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

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

func credentialsThatExpire(in time.Duration) aws.CredentialsProvider {
	c := credentials.NewStaticCredentialsProvider("AKIDTESTTESTTEST", "secret", "token")
	c.Value.CanExpire, c.Value.Expires = true, time.Now().Add(in)
	return c
}
