// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/scratch"
)

// installPath is not copied to the work folder: compile.sh may change fs/, but not the existing install.sh.
const installPath = "script/install.sh"

// newWorkFolder copies the Image-Source to a directory that compile.sh may change, and adds the generated parts.
func newWorkFolder(source string) (*scratch.Dir, error) {
	work, err := scratch.New()
	if err != nil {
		return nil, fmt.Errorf("make the work folder for compile.sh: %w", err)
	}
	if err := errors.Join(copyTree(source, work.Path), addGenerated(work.Path)); err != nil {
		return nil, errors.Join(fmt.Errorf("fill the work folder for compile.sh: %w", err), removeWorkFolder(work))
	}
	return work, nil
}

func removeWorkFolder(work *scratch.Dir) error {
	if err := work.Remove(); err != nil {
		return fmt.Errorf("remove the work folder of compile.sh: %w", err)
	}
	return nil
}

func addGenerated(work string) error {
	if err := os.MkdirAll(filepath.Join(work, "cloudinit"), 0o755); err != nil {
		return err
	}
	for _, g := range generatedParts {
		if err := os.WriteFile(filepath.Join(work, g.path()), g.content(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// copyTree copies the contents of source to target, with modes and links. It sets the modes of directories last,
// because a directory may not be writable.
func copyTree(source, target string) error {
	var modes []func() error
	err := filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(source, path)
		if err != nil || relative == filepath.FromSlash(installPath) {
			return err
		}
		to := filepath.Join(target, relative)
		info, err := d.Info()
		if err != nil {
			return err
		}
		switch {
		case relative == ".": // it exists, and its mode does not matter
			return nil
		case d.IsDir():
			modes = append(modes, func() error { return os.Chmod(to, info.Mode()) })
			return os.Mkdir(to, 0o700)
		case d.Type() == fs.ModeSymlink:
			return copyLink(source, relative, to)
		case d.Type().IsRegular():
			return copyFile(path, to, info.Mode())
		}
		return fmt.Errorf("%s is neither a file, a directory nor a link; remove it from the Image-Source", relative)
	})
	for i := len(modes) - 1; i >= 0 && err == nil; i-- {
		err = modes[i]()
	}
	return err
}

func copyFile(from, to string, mode fs.FileMode) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in) // a file system that can clones the blocks
	return errors.Join(err, out.Close(), os.Chmod(to, mode))
}

// copyLink copies a link. A relative link that leads out of the source becomes absolute, because from the copy it would
// lead somewhere else.
func copyLink(source, relative, to string) error {
	target, err := os.Readlink(filepath.Join(source, relative))
	if err != nil {
		return err
	}
	if !filepath.IsAbs(target) {
		resolved := filepath.Join(filepath.Dir(relative), target)
		if resolved == ".." || strings.HasPrefix(resolved, ".."+string(filepath.Separator)) {
			if target, err = filepath.Abs(filepath.Join(source, resolved)); err != nil {
				return err
			}
		}
	}
	return os.Symlink(target, to)
}
