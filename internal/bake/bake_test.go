// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bake

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/redact"
)

// newBake returns a bake and what it says.
func newBake() (*Bake, *bytes.Buffer) {
	said := new(bytes.Buffer)
	return &Bake{
		ID: testID, ImageName: "hello-1", CLI: CLI{Region: "us-east-1"}, Lifetime: 90 * time.Minute,
		UI: &packersdk.BasicUi{Writer: said, ErrorWriter: said, PB: &packersdk.NoopProgressTracker{}},
	}, said
}

func TestSayAndWarnReplaceSecrets(t *testing.T) {
	redact.Add("secret-of-a-bake")
	b, said := newBake()
	b.Say("with %s", "secret-of-a-bake")
	b.Warn("with %s, 100%% sure", "secret-of-a-bake")
	if got, want := said.String(), "with <sensitive>\nwarning: with <sensitive>, 100% sure\n"; got != want {
		t.Errorf("said %q, want %q", got, want)
	}
}

func TestTemporaryTagsExpireAfterLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := newBake()
		b.Clock.SetFrom(answerMetadata(t, time.Hour))
		time.Sleep(time.Minute + time.Second/2)
		want := map[string]string{TagName: "bakery hello-1", TagBake: testID, TagExpires: "2000-01-01T02:31:00Z"}
		if diff := cmp.Diff(want, b.TemporaryTags()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if at := b.Expiry(); at.Location() != time.UTC || at.Nanosecond() != 0 {
			t.Errorf("the expiry is %s", at)
		}
	})
}

func TestReportLeftovers(t *testing.T) {
	b, said := newBake()
	if b.ReportLeftovers() || said.Len() > 0 {
		t.Errorf("nothing is left, and the bake says\n%s", said)
	}
	undo := func(context.Context) error { return nil }
	b.Ledger.Add("security group sg-1", undo, func() []string {
		return []string{b.CLI.Command("ec2 delete-security-group --group-id %s", "sg-1")}
	})
	b.Ledger.Add("instance i-1", undo, func() []string {
		return []string{b.CLI.Command("ec2 terminate-instances --instance-ids %s", "i-1")}
	})
	if !b.ReportLeftovers() {
		t.Error("something is left")
	}
	want := []string{
		"Not removed:", "    security group sg-1", "    instance i-1", "These commands remove it, in this order:",
		"    aws ec2 terminate-instances --instance-ids i-1 --region us-east-1",
		"    aws ec2 delete-security-group --group-id sg-1 --region us-east-1",
	}
	if diff := cmp.Diff(strings.Join(want, "\n")+"\n", said.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestReportLeftoversWithoutCommands(t *testing.T) {
	b, said := newBake()
	b.Ledger.Add("image ami-1", func(context.Context) error { return nil }, nil)
	if !b.ReportLeftovers() || said.String() != "Not removed:\n    image ami-1\n" {
		t.Errorf("said\n%s", said)
	}
}
