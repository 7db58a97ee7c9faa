// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"text/tabwriter"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/disk"
)

// mountImage mounts an image's root disk read-only at a new directory. It is only for the sandbox, whose end unmounts
// it.
func (h home) mountImage(name string) (string, error) {
	image, err := h.find(name)
	if err != nil {
		return "", err
	}
	path, err := h.rootDisk(context.Background(), image)
	if err != nil {
		return "", err
	}
	place, err := mountScratch(h.dir, h.base())
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(place, "")
	if err != nil {
		return "", fmt.Errorf("make a place to mount an image at: %w", err)
	}
	_, err = disk.Mount(path, dir, true)
	return dir, err
}

// enterImage mounts an image and makes it the root directory, so that links in it have the same targets as on the
// machine.
func enterImage(name string) error {
	h, err := openHome()
	if err != nil {
		return err
	}
	dir, err := h.mountImage(name)
	if err != nil {
		return err
	}
	return changeRoot(dir)
}

func list(args []string) (int, error) {
	words, rest, err := parse(flags("ls"), args)
	if err != nil {
		return usageExit, err
	}
	if len(words) < 1 || len(words) > 2 || len(rest) > 0 {
		return usageError("ls")
	}
	return sandboxed("_ls", words[0], append(words, "/")[1])
}

func listInside(args []string) (int, error) {
	if err := enterImage(args[0]); err != nil {
		return 1, err
	}
	path := filepath.Join("/", args[1])
	info, err := os.Stat(path)
	if err != nil {
		return 1, err
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	if !info.IsDir() {
		listLine(w, path, info)
		return 0, w.Flush()
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return 1, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return 1, err
		}
		listLine(w, filepath.Join(path, e.Name()), info)
	}
	return 0, w.Flush()
}

func listLine(w io.Writer, path string, info fs.FileInfo) {
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		to, _ := os.Readlink(path)
		target = " -> " + to
	}
	uid, gid := owner(info)
	_, _ = fmt.Fprintf(w, "%s\t%d:%d\t%10d\t%s\t%s%s\n", info.Mode(), uid, gid, info.Size(),
		info.ModTime().UTC().Format("2006-01-02 15:04"), filepath.Base(path), target)
}

func owner(info fs.FileInfo) (uid, gid uint32) {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Uid, s.Gid
	}
	return 0, 0
}

func printFile(args []string) (int, error) {
	words, rest, err := parse(flags("cat"), args)
	if err != nil {
		return usageExit, err
	}
	if len(words) != 2 || len(rest) > 0 {
		return usageError("cat")
	}
	return sandboxed("_cat", words[0], words[1])
}

func printFileInside(args []string) (int, error) {
	if err := enterImage(args[0]); err != nil {
		return 1, err
	}
	f, err := os.Open(filepath.Join("/", args[1]))
	if err != nil {
		return 1, err
	}
	defer f.Close()
	_, err = io.Copy(os.Stdout, f)
	return 0, err
}
