// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"fmt"
	"os"

	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// stepOutput writes output_file and, the last thing that can fail, takes the image out of the ledger.
type stepOutput struct {
	nothingToUndo
	image *stepImage
}

// Run implements multistep.Step.
func (s *stepOutput) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return step(ctx, state, phaseImage, func(_ context.Context, b *bake) error {
		if err := writeOutput(b.config.OutputFile, b.config.AMIName, b.imageID); err != nil {
			return err
		}
		b.ledger.keep(s.image.made)
		return nil
	})
}

// writeOutput writes what a shell can source: BUILDAMI_OUTPUT of the seed.
func writeOutput(path, name, id string) error {
	if path == "" {
		return nil
	}
	content := shell.Assign("AMINAME", name) + "\n" + shell.Assign("AMIID", id) + "\n"
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		return fmt.Errorf("write output_file: %w", err)
	}
	return nil
}
