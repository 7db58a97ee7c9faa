// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// stepOutput writes output_file.
type stepOutput struct {
	nothingToUndo
	written *entry // in the ledger until the bake has succeeded
}

// Run implements multistep.Step.
func (s *stepOutput) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return step(ctx, state, phaseImage, func(_ context.Context, b *bake) error {
		path := b.config.OutputFile
		if path == "" {
			return nil
		}
		s.written = b.ledger.add("output_file "+path, func(context.Context) error {
			if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		}).by(func() []string { return []string{"rm " + word(path)} })
		return writeOutput(path, b.imageName(), b.home.imageID())
	})
}

// writeOutput writes what a shell can source: BUILDAMI_OUTPUT of the seed.
func writeOutput(path, name, id string) error {
	content := shell.Assign("AMINAME", name) + "\n" + shell.Assign("AMIID", id) + "\n"
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		return fmt.Errorf("write output_file: %w", err)
	}
	return nil
}
