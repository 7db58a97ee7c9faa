// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// stepOutput writes output_file.
type stepOutput struct {
	nothingToUndo
	written *bake.Entry // in the ledger until the bake has succeeded
}

// Run implements multistep.Step.
func (s *stepOutput) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return runStep(ctx, state, bake.PhaseImage, func(_ context.Context, b *build) error {
		path := b.config.OutputFile
		if path == "" {
			return nil
		}
		s.written = b.Ledger.Add("output_file "+path, func(context.Context) error {
			if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		}, func() []string { return []string{"rm " + bake.Word(path)} })
		return writeOutput(path, b.images.ImageName(), b.images.Home().ImageID())
	})
}

// writeOutput writes what a shell can source: BUILDAMI_OUTPUT of the scripts in example/jenkins.
func writeOutput(path, name, id string) error {
	content := shell.Assign("AMINAME", name) + "\n" + shell.Assign("AMIID", id) + "\n"
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		return fmt.Errorf("write output_file: %w", err)
	}
	return nil
}

// checkOutputFile makes sure that output_file can be written. A bake that cannot write it fails, and its image is
// removed.
func checkOutputFile(path string) error {
	if path == "" {
		return nil
	}
	dir := filepath.Dir(path)
	if info, err := os.Stat(dir); err != nil {
		return fmt.Errorf("output_file: make its directory first: %w", err)
	} else if !info.IsDir() {
		return fmt.Errorf("output_file: %s is not a directory", dir)
	}
	return nil
}
