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

// Live is an Image-Source compiled for a machine that is already running and has a connection.
type Live struct {
	Program guest.Program // without Files
	FS      File          // the tar.gz of fs/, in the target; zero when there is none
	// CloudInit lists the parts that need cloud-init on the machine, with the keys they need it for, such as
	// "cloudinit/10_users.cfg: users, packages".
	CloudInit []string
}

// CompileLive compiles the Image-Source o.Source, and writes the tar.gz of fs/, of any size, to the directory o.Target.
// It does not use Region, S3URL and InlineLimit, which are for launching a bundle. When it fails or ctx ends, the
// target is unchanged.
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
	target, err := newTargetWriter(o.Target)
	if err != nil {
		return nil, fmt.Errorf("write the archive of fs: %w", err)
	}
	defer func() { err = errors.Join(err, target.discard()) }()
	if live.FS, err = target.archive(ctx, in.src.FS); err != nil {
		return nil, fmt.Errorf("archive fs: %w", err)
	}
	return live, os.Rename(target.path(FSName), live.FS.Path)
}

// needCloudInit lists the parts that have keys besides runcmd.
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
