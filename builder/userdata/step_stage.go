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

// stepStage uploads fs/ for the machine to fetch.
type stepStage struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepStage) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return step(ctx, state, phaseStage, stageFS)
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
		object = b.fsObject(b.id)
		b.fsKey = object.Key
		b.noteObject(b.fsKey)
	}
	b.say("Uploading %d bytes to %s...", object.Size, b.store.URL(b.fsKey))
	return b.store.Put(ctx, object)
}

// fsObject is fs.tgz as it is staged below a name: its sha256, by which bakes of the same fs/ share what is kept, or
// the id of the only bake it is for.
func (b *bake) fsObject(below string) staging.Object {
	fs := b.payload.fs
	return staging.Object{
		Key: b.store.Key(below, bundle.FSName), SHA256: fs.SHA256, Size: fs.Size,
		Open: func() (io.ReadCloser, error) {
			f, err := os.Open(fs.Path)
			if err != nil {
				return nil, err
			}
			return b.ui.TrackProgress(bundle.FSName, 0, fs.Size, f), nil
		},
	}
}

// noteObject puts an object into the ledger before it is uploaded.
func (b *bake) noteObject(key string) {
	b.ledger.add(b.store.URL(key), func(ctx context.Context) error { return b.store.Delete(ctx, key) })
}
