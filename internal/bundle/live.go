// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/imagesource"
)

// Live is an Image-Source compiled for a machine that is running already and is connected to.
type Live struct {
	Program guest.Program // without Files
	FS      File          // the tar.gz of fs/, in the target; zero when there is none
	// CloudInit says which parts need a cloud-init on the machine, and for which keys, such as
	// "cloudinit/10_users.cfg: users, packages".
	CloudInit []string
}

// CompileLive compiles the Image-Source o.Source, and leaves the tar.gz of fs/ in the directory o.Target, however small.
// What only says how a bundle is launched, Region, S3URL and InlineLimit, is not used. When it fails or ctx ends, the
// target is as it was.
func CompileLive(ctx context.Context, o Options) (_ *Live, err error) {
	in, err := o.gather(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.discard()) }()
	program, problems := assemble(in.src, in.install)
	if err := problems.Err(); err != nil {
		return nil, err
	}
	live := &Live{Program: program, CloudInit: needCloudInit(in.src)}
	if in.src.FS == "" {
		return live, nil
	}
	staging, err := newStaging(o.Target)
	if err != nil {
		return nil, fmt.Errorf("write the archive of fs: %w", err)
	}
	defer func() { err = errors.Join(err, staging.discard()) }()
	if live.FS, err = staging.archive(ctx, in.src.FS); err != nil {
		return nil, fmt.Errorf("archive fs: %w", err)
	}
	return live, os.Rename(staging.path(FSName), live.FS.Path)
}

// needCloudInit lists the parts that are more than commands.
func needCloudInit(src *imagesource.Source) []string {
	var needs []string
	for _, p := range src.Parts {
		if p.Document == nil {
			continue
		}
		if keys := p.Document.Keys(); len(keys) > 0 {
			needs = append(needs, p.Path+": "+strings.Join(keys, ", "))
		}
	}
	return needs
}
