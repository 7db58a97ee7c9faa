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
	object := b.fsObject()
	there, err := b.store.Has(ctx, object)
	if err != nil {
		return err
	}
	if there {
		b.say("%s is there already", b.store.URL(object.Key))
		return nil
	}
	b.say("Uploading %d bytes to %s...", object.Size, b.store.URL(object.Key))
	if !b.config.Staging.Keep {
		b.noteObject(object.Key)
	}
	return b.store.Put(ctx, object)
}

// fsObject is fs.tgz as it is staged. Its key says what it contains, so bakes of the same fs/ share it.
func (b *bake) fsObject() staging.Object {
	fs := b.payload.fs
	key := b.store.Key(fs.SHA256, bundle.FSName)
	return staging.Object{
		Key: key, SHA256: fs.SHA256, Size: fs.Size,
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
