// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	registryimage "github.com/hashicorp/packer-plugin-sdk/packer/registry/image"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

func TestArtifactHasFormOfAmazonEBS(t *testing.T) {
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
	b, artifact, err := runBuild(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	images, ok := artifact.State(registryimage.ArtifactStateURI).([]*registryimage.Image)
	if !ok || len(images) != 1 {
		t.Fatalf("the state is %v", artifact.State(registryimage.ArtifactStateURI))
	}
	want := &registryimage.Image{
		ImageID: awsfake.NewImageID, ProviderName: "aws", ProviderRegion: "us-east-1",
		SourceImageID: awsfake.SourceImageID,
		Labels: map[string]string{
			"bake_id": awsfake.BakeID, "name": "hello-1", "source_ami_name": "debian-12",
			"inputs": b.account.ImageNamed("us-east-1", "hello-1").Tags[bake.TagInputs],
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

func TestDestroyRemovesImageAndSnapshots(t *testing.T) {
	b, artifact, err := runBuild(t, nil)
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		b.account.FailBefore["DeleteSnapshot"] = awsfake.FirstCalls(2, 400, awscall.CodeSnapshotInUse)
		if err := artifact.Destroy(); err != nil {
			t.Error(err)
		}
	})
	b.checkNothingLeft()
}

// An image refers to the snapshots of ami_block_device_mappings, which the bake has not created.
func TestSnapshotsOfTemplateAreNeverRemoved(t *testing.T) {
	const given = "snap-given"
	withSnapshot := func(more func(*testBuild)) func(*testBuild) {
		return func(b *testBuild) {
			b.config.AMIBlockDevices = []blockDevice{{DeviceName: "/dev/xvda", SnapshotID: given}}
			b.account.Snapshots[given] = &awsfake.Snapshot{
				Region: "us-east-1", Tags: map[string]string{bake.TagExpires: "mine"}, Existing: true,
			}
			if more != nil {
				more(b)
			}
		}
	}
	for name, more := range map[string]func(*testBuild){
		"an image that is destroyed": nil,
		"a bake that fails": func(b *testBuild) {
			b.account.FailBefore["DeleteTags"] = awsfake.Always(400, "TheTestSaysSo")
		},
		"an image that is replaced": func(b *testBuild) {
			b.config.ForceDeregister, b.config.ForceDeleteSnapshot = true, true
			old := b.account.AddImage("us-east-1", awsfake.ExistingImageID, "hello-1")
			old.Snapshots = append(old.Snapshots, given)
		},
	} {
		b, artifact, _ := runBuild(t, withSnapshot(more))
		if artifact != nil {
			if err := artifact.Destroy(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if s := b.account.Snapshots[given]; s == nil || s.Tags[bake.TagExpires] != "mine" {
			t.Errorf("%s: the template's snapshot is %v", name, s)
		}
		if left := b.account.Leftovers(); len(left) > 0 {
			t.Errorf("%s: left %v\n%s", name, left, b.ui)
		}
	}
}
