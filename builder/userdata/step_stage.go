// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"io"
	"os"

	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

// stepStage uploads fs/ and the recorded provisioners for the machine to fetch.
type stepStage struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepStage) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return baking(ctx, state, phaseStage, func(ctx context.Context, b *bake) error {
		if err := stageFS(ctx, b); err != nil {
			return err
		}
		return stageRecording(ctx, b)
	})
}

// stageRecording uploads what provisioners did. It is this bake's alone, so it is never there already, and never kept.
func stageRecording(ctx context.Context, b *bake) error {
	r := &b.payload.recording
	if r.file.Path == "" {
		return nil
	}
	r.key = b.store.Key(b.folder(), recordingName)
	b.noteObject(r.key)
	b.say("Uploading %d bytes to %s...", r.file.Size, b.store.URL(r.key))
	return b.store.Put(ctx, b.object(r.key, recordingName, r.file))
}

func stageFS(ctx context.Context, b *bake) error {
	if b.payload.fs.Path == "" {
		return nil
	}
	object := b.fsObject(b.payload.fs.SHA256)
	b.fsKey = object.Key
	there, err := b.store.Has(ctx, object)
	if err != nil {
		return err
	}
	if there {
		b.say("%s is there already", b.store.URL(b.fsKey))
		return nil
	}
	if !b.config.Staging.Keep {
		// What this bake removes is its own alone: another of the same fs/ at the same time would miss it.
		object = b.fsObject(b.folder())
		b.fsKey = object.Key
		b.noteObject(b.fsKey)
	}
	b.say("Uploading %d bytes to %s...", object.Size, b.store.URL(b.fsKey))
	return b.store.Put(ctx, object)
}

// fsObject is fs.tgz as it is staged below a name: its sha256, by which bakes of the same fs/ share what is kept, or
// the folder of the only bake it is for.
func (b *bake) fsObject(below string) staging.Object {
	return b.object(b.store.Key(below, bundle.FSName), bundle.FSName, b.payload.fs)
}

// object is a file to be staged, whose upload is shown under a name.
func (b *bake) object(key, name string, file bundle.File) staging.Object {
	return staging.Object{
		Key: key, SHA256: file.SHA256, Size: file.Size,
		Open: func() (io.ReadCloser, error) {
			f, err := os.Open(file.Path)
			if err != nil {
				return nil, err
			}
			return b.ui.TrackProgress(name, 0, file.Size, f), nil
		},
	}
}

// noteObject puts an object into the ledger before it is uploaded.
func (b *bake) noteObject(key string) {
	b.ledger.add(b.store.URL(key), func(ctx context.Context) error { return b.store.Delete(ctx, key) }).
		by(func() []string { return b.endObject(key) })
}
