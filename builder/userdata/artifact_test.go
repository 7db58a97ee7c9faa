// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	registryimage "github.com/hashicorp/packer-plugin-sdk/packer/registry/image"
)

func TestArtifactIsWhatOtherToolsExpectOfAmazonEBS(t *testing.T) {
	a := &Artifact{images: map[string]string{"us-east-1": "ami-2", "eu-west-1": "ami-1"}}
	if got, want := a.Id(), "eu-west-1:ami-1,us-east-1:ami-2"; got != want {
		t.Errorf("Id is %q, want %q", got, want)
	}
	if got, want := a.String(), "AMIs were created:\neu-west-1: ami-1\nus-east-1: ami-2\n"; got != want {
		t.Errorf("String is %q, want %q", got, want)
	}
	if a.BuilderId() != "amibakery.bakery" || a.Files() != nil {
		t.Errorf("BuilderId is %q, Files are %v", a.BuilderId(), a.Files())
	}
}

func TestArtifactDescribesItselfToTheRegistry(t *testing.T) {
	o, artifact, err := bakes(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	images, ok := artifact.State(registryimage.ArtifactStateURI).([]*registryimage.Image)
	if !ok || len(images) != 1 {
		t.Fatalf("the state is %v", artifact.State(registryimage.ArtifactStateURI))
	}
	want := &registryimage.Image{
		ImageID: newID, ProviderName: "aws", ProviderRegion: "us-east-1", SourceImageID: sourceID,
		Labels: map[string]string{
			"bake_id": testBake, "name": "hello-1", "source_ami_name": "debian-12",
			"inputs":           o.image("us-east-1", "hello-1").tags[tagInputs],
			"user_data_sha256": "9ab8fabc8c72bfa0416414631e26bd71b01f9dfae98dcf4656b1e2d78307876a",
		},
	}
	if diff := cmp.Diff(want, images[0]); diff != "" {
		t.Errorf("the image (-want +got):\n%s", diff)
	}
	if err := images[0].Validate(); err != nil {
		t.Error(err)
	}
	if artifact.State("generated_data") == nil {
		t.Error("post-processors get no build data")
	}
}

func TestArtifactDestroysTheImageAndItsSnapshots(t *testing.T) {
	o, artifact, err := bakes(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		o.cloud.broken["DeleteSnapshot"] = first(2, 400, codeSnapshotInUse)
		if err := artifact.Destroy(); err != nil {
			t.Error(err)
		}
	})
	if left := o.cloud.left(); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestSnapshotsOfTheTemplateAreNobodyElses: an image refers to those of ami_block_device_mappings and has not made them.
func TestSnapshotsOfTheTemplateAreNobodyElses(t *testing.T) {
	const given = "snap-given"
	withDisk := func(more func(*oven)) func(*oven) {
		return func(o *oven) {
			o.config.AMIBlockDevices = []BlockDevice{{DeviceName: "/dev/xvda", SnapshotID: given}}
			o.cloud.snapshots[given] = &fakeSnapshot{region: "us-east-1", tags: map[string]string{tagExpires: "mine"}}
			if more != nil {
				more(o)
			}
		}
	}
	for name, more := range map[string]func(*oven){
		"an image that is destroyed": nil,
		"a bake that fails":          func(o *oven) { o.cloud.broken["DeleteTags"] = always(400, "TheTestSaysSo") },
		"an image that is replaced": func(o *oven) {
			o.config.ForceDeregister, o.config.ForceDeleteSnapshot = true, true
			old := o.cloud.oldImage("us-east-1", oldID, "hello-1")
			old.snapshots = append(old.snapshots, given)
		},
	} {
		o, artifact, _ := bakes(t, withDisk(more))
		if artifact != nil {
			if err := artifact.Destroy(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if s := o.cloud.snapshots[given]; s == nil || s.tags[tagExpires] != "mine" {
			t.Errorf("%s: the template's snapshot is %v", name, s)
		}
		delete(o.cloud.snapshots, given)
		if left := o.cloud.left(); len(left) > 0 {
			t.Errorf("%s: left %v\n%s", name, left, o.ui)
		}
	}
}

func TestLedgerUndoesTheNewestFirstAndKeepsWhatItCannotUndo(t *testing.T) {
	var l ledger
	var undone []string
	note := func(name string, err error) *entry {
		return l.add(name, func(context.Context) error {
			undone = append(undone, name)
			return err
		})
	}
	note("group", nil)
	note("machine", errors.New("no"))
	kept := note("image", nil)
	note("log", nil)
	l.keep(kept)
	err := l.undo(t.Context(), func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} })
	if diff := cmp.Diff([]string{"log", "machine", "group"}, undone); diff != "" {
		t.Errorf("undone (-want +got):\n%s", diff)
	}
	if err == nil || !strings.Contains(err.Error(), "remove machine: no") {
		t.Errorf("the error is %v", err)
	}
	if diff := cmp.Diff([]string{"machine"}, l.list()); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}
