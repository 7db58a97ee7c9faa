// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/shell"
	"github.com/amibakery/packer-plugin-bakery/internal/wholefile"
)

// stepOutput writes output_file beside its place. It gets there when nothing can fail any more, so a bake that fails
// leaves an earlier one as it was.
type stepOutput struct {
	nothingToUndo
	staged *wholefile.Staged
	entry  *bake.Entry // in the ledger until the file is in its place
}

// Run implements multistep.Step.
func (s *stepOutput) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return runStep(ctx, state, bake.PhaseImage, func(_ context.Context, b *build) (err error) {
		path := b.config.OutputFile
		if path == "" {
			return nil
		}
		content := outputContent(b.images.ImageName(), b.images.Home().ImageID())
		s.staged, err = wholefile.Stage(path, wholefile.Shared, func(w io.Writer) error {
			_, err := io.WriteString(w, content)
			return err
		})
		if err != nil {
			return fmt.Errorf("write output_file: %w", err)
		}
		s.entry = b.Ledger.Add("temporary files beside "+path, func(context.Context) error {
			return s.staged.Discard()
		}, nil)
		return nil
	})
}

// commit puts the file in its place. The images are complete and stay, even if that fails.
func (s *stepOutput) commit(ctx context.Context, b *build) error {
	if s.staged == nil {
		return nil
	}
	if err := s.staged.Commit(); err != nil {
		return fmt.Errorf("write output_file: %w\nthe image is complete and stays: %s %s", err,
			b.images.ImageName(), b.images.Home().ImageID())
	}
	_ = b.Ledger.Undo(ctx, s.entry) // what could not be removed is empty, and tried again at the end
	return nil
}

// outputContent returns what a shell can source: BUILDAMI_OUTPUT of the scripts in example/jenkins.
func outputContent(name, id string) string {
	return shell.Assign("AMINAME", name) + "\n" + shell.Assign("AMIID", id) + "\n"
}

// checkFiles makes sure that output_file and log_file can be written, before anything costs money.
func checkFiles(c *Config) error {
	var errs []error
	for _, f := range []struct{ setting, path string }{{"output_file", c.OutputFile}, {"log_file", c.LogFile}} {
		if f.path == "" {
			continue
		}
		if err := wholefile.Check(f.path); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", f.setting, err))
		}
	}
	return errors.Join(errs...)
}
