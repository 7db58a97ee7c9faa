// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

func TestBakeStagesLargeFilesAndRemovesThem(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) { b.setStaging() })
	if err != nil {
		t.Fatal(err)
	}
	if left := b.account.Objects(); len(left) > 0 {
		t.Errorf("left in the bucket: %v", left)
	}
	document := string(b.account.UserData())
	if document == "" {
		t.Error("no user data")
	}
	tags := awsfake.Tags(b.account.Requests["CreateImage"], "image")
	if !strings.Contains(tags[bake.TagInputsDetail], " fs=") || tags["Name"] != "hello" || tags["Version"] != "1.2" {
		t.Errorf("the image's tags are %v", tags)
	}
}

func TestMachineGetsRegionOfBucket(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.setStaging()
		b.config.IamInstanceProfile = "baker"
		b.config.Staging.Delivery, b.config.Staging.Region = "profile", "eu-west-3"
	})
	if err != nil {
		t.Fatal(err)
	}
	if document := string(b.account.RunUserData()); !strings.Contains(document, "BAKERY_REGION='eu-west-3'") {
		t.Errorf("the region of the awsfake.Bucket is not in\n%.600s", document)
	}
}

// S3 takes all keys of a bake below the longest prefix that is accepted.
func TestKeysBelowTheLongestPrefix(t *testing.T) {
	url := "s3://bucket/" + strings.Repeat("a", longestPrefix)
	s, err := openStage(&bake.Bake{ID: awsfake.BakeID}, aws.Config{}, &StagingConfig{URL: url, KeepLog: true}, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	s.setFolder(time.Now(), 0)
	longest := 0
	for _, key := range []string{s.Key(sha256Hex(nil), bundle.FSName), s.Key(s.folder, recordingName),
		s.Key(s.folder, bundle.FSName), s.newCommitmentKey(), s.logKey(2)} {
		longest = max(longest, len(key))
	}
	if longest != staging.LongestKey {
		t.Errorf("the longest key has %d bytes, want %d", longest, staging.LongestKey)
	}
	config := Config{Staging: &StagingConfig{URL: url}}
	if _, errs := config.checkStaging(); errs != nil {
		t.Error(errs)
	}
}

func TestStagedFilesAreInFolderOfBake(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) { b.setStaging() })
	if err != nil {
		t.Fatal(err)
	}
	document := string(b.account.RunUserData())
	if !strings.Contains(document, "/some/prefix/"+testFolder+"/fs.tgz?") {
		t.Errorf("the machine fetches what another bake may remove:\n%.900s", document)
	}
}

func TestKeptFilesAreUploadedOnce(t *testing.T) {
	dir := writeImageSource(t, 20_000)
	var previous *awsfake.Account
	for i, uploads := range []int{1, 0} {
		b, _, err := runBuild(t, func(b *testBuild) {
			if previous != nil {
				b.account.ShareBucket(previous)
			}
			b.setStaging()
			b.config.ImageSource = dir
			b.config.Staging.Keep = true
		})
		if err != nil {
			t.Fatal(err)
		}
		previous = b.account
		if got := b.account.Count("PUT object"); got != uploads {
			t.Errorf("bake %d uploaded %d objects, want %d", i+1, got, uploads)
		}
		if got := len(b.account.Objects()); got != 1 {
			t.Errorf("bake %d left %d objects, want fs.tgz alone: %v", i+1, got, b.account.Objects())
		}
	}
}

func TestLargeUserDataIsStagedAndFetched(t *testing.T) {
	noise := string(randomBytes(15_000))
	b, _, err := runBuild(t, func(b *testBuild) {
		b.config.UserData = "#!/bin/sh\n: '" + strings.ToValidUTF8(noise, "") + noise + "'\n"
		b.config.Verdict = setting.VerdictStop
		b.config.Staging = &stagingConfig{URL: "s3://" + awsfake.Bucket}
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nurl='https://", "\nwant='", "\nstay='1'\n", "\nlimit='2100'\n"} {
		if got := string(b.account.UserData()); !strings.Contains(got, want) {
			t.Errorf("the machine was launched without %q, with\n%s", want, got)
		}
	}
	b.checkSaid("Uploading the user data, which is ", " bytes where EC2 takes 16384, to s3://")
	if strings.Contains(b.ui.String(), "X-Amz-Signature") {
		t.Error("a signed URL was shown")
	}
	if left := b.account.Objects(); len(left) > 0 {
		t.Errorf("left in the bucket: %v", left)
	}
}

// The user's own script may be far below EC2's limit.
func TestSizeOfStagedUserDataIncludesProgram(t *testing.T) {
	b, _, err := runBuild(t, func(b *testBuild) {
		b.setStaging()
		b.config.ImageSource = ""
		b.config.UserData = "#!/bin/sh\n: " + hex.EncodeToString(randomBytes(15_000)) + "\n"
		b.account.Console = nil
		b.uploadLongLog(awsfake.Success)
	})
	if err != nil {
		t.Fatal(err)
	}
	b.checkSaid("Uploading the user data, which is ",
		" bytes with the program that runs the bake, where EC2 takes 16384, to s3://")
}

func TestVerdictIsFoundInStagedLog(t *testing.T) {
	_, _, err := runBuild(t, func(b *testBuild) {
		b.setStaging()
		b.account.Console = nil
		b.uploadLongLog(awsfake.Success)
	})
	if err != nil {
		t.Fatal(err)
	}
}
