// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/disk"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/machine"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sandbox"
)

// sandboxed runs a command of this program in a sandbox, so that its mounts end with it.
func sandboxed(args ...string) (int, error) {
	if err := machine.Check(); err != nil {
		return 1, err
	}
	return sandbox.Run(append([]string{os.Args[0]}, args...), nil)
}

func imageBuild(args []string) (int, error) {
	f := flags("image build")
	suite := f.String("suite", "bookworm", "base image `NAME`: "+strings.Join(cloud.Suites, ", ")+", or all, "+
		"which leaves out arm64")
	words, rest, err := parse(f, args)
	if err != nil {
		return usageExit, err
	}
	if len(words)+len(rest) > 0 {
		return usageError("image build")
	}
	suites := []string{*suite}
	if *suite == "all" {
		suites = cloud.ContainerSuites // the others need QEMU for the build
	}
	for _, s := range suites {
		if !slices.Contains(cloud.Suites, s) {
			return usageExit, fmt.Errorf("there is no base image %q; known are %s", s, strings.Join(cloud.Suites, ", "))
		}
		if exit, err := sandboxed("_build", s); exit != 0 || err != nil {
			return exit, err
		}
		fmt.Println(cloud.BaseImageID(s))
	}
	return 0, nil
}

func buildInside(args []string) (int, error) {
	h, err := openHome()
	if err != nil {
		return 1, err
	}
	_, err = h.baseDisk(context.Background(), args[0])
	return 0, err
}

func imageImport(args []string) (int, error) {
	f := flags("image import")
	name := f.String("name", "", "`NAME` of the new AMI")
	size := f.Int64("size", disk.DefaultSize>>30, "size in GiB of the disk made from a tree")
	words, rest, err := parse(f, args)
	if err != nil {
		return usageExit, err
	}
	if len(words) != 1 || len(rest) > 0 || *name == "" {
		return usageError("image import")
	}
	return sandboxed("_import", *name, words[0], fmt.Sprint(*size))
}

func importInside(args []string) (int, error) {
	name, source := args[0], args[1]
	var size int64
	if _, err := fmt.Sscan(args[2], &size); err != nil {
		return 1, err
	}
	h, err := openHome()
	if err != nil {
		return 1, err
	}
	info, err := os.Stat(source)
	if err != nil {
		return 1, fmt.Errorf("import an image: %w", err)
	}
	image, err := cloud.Import(h.images(), name, func(to string) error {
		if info.IsDir() {
			return disk.FromTree(context.Background(), disk.Ext4, source, to, size<<30)
		}
		if _, err := disk.FileSystemOf(source); err != nil {
			return fmt.Errorf("import an image: %w", err)
		}
		return disk.Clone(source, to)
	})
	if err != nil {
		return 1, err
	}
	fmt.Println(image.ID)
	return 0, nil
}

func images(args []string) (int, error) {
	words, rest, err := parse(flags("images"), args)
	if err != nil {
		return usageExit, err
	}
	if len(words)+len(rest) > 0 {
		return usageError("images")
	}
	h, err := openHome()
	if err != nil {
		return 1, err
	}
	all, _, err := cloud.Stored(h.images())
	if err != nil {
		return 1, err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "AMI\tNAME\tREGION\tSTATE\tCREATED (UTC)\tMADE FROM")
	for _, i := range all {
		from := i.SourceImage
		if i.Suite != "" {
			from = "Debian " + cloud.BaseVersion(i.Suite)
		}
		region := i.Region
		if region == "" {
			region = "every"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", i.ID, i.Name, region, i.State,
			i.Created.UTC().Format("2006-01-02 15:04"), from)
	}
	return 0, errors.Join(w.Flush())
}
