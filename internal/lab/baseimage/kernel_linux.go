// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package baseimage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// kernelSuite is the suite of the kernel, which works with the systemd of every suite.
const kernelSuite = "bookworm"

// kernelRevision is the version of the code below. Change it when the code changes, so that the kernel is downloaded
// again.
const kernelRevision = 1

// modules are the drivers for QEMU's machines that are not built into the kernel: for a virtio network card, and for
// the power button, which logind reads through evdev. Dependencies come first.
var modules = []string{
	"virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci",
	"failover", "net_failover", "virtio_net", "button", "evdev",
}

var errNoMirror = errors.New("get a kernel: apt of this computer knows no mirror of Debian: name one in " +
	"/etc/apt/sources.list.d, " +
	"as in sources.list(5)")

// EnsureKernel returns a kernel for virtual machines. It downloads Debian's when cacheDir/base has none, which takes
// some seconds and does not need root. Other than an image, the kernel is not replaced when the mirror changes.
func EnsureKernel(ctx context.Context, cacheDir string, progress io.Writer) (Kernel, error) {
	c := cached{
		dir:    filepath.Join(cacheDir, "base"),
		recipe: recipe{Suite: "kernel", Sources: ownMirror("/etc/apt").sourcesList(kernelSuite), AptOpts: aptOptions()},
	}
	k, err := c.loadKernel()
	if err == nil {
		return k, nil
	}
	if len(c.recipe.Sources) == 0 {
		return Kernel{}, errNoMirror
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return Kernel{}, fmt.Errorf("get a kernel: %w", err)
	}
	unlock, err := c.lock(ctx, progress)
	if err != nil {
		return Kernel{}, fmt.Errorf("get a kernel: %w", err)
	}
	defer unlock()
	if k, err := c.loadKernel(); err == nil { // made while we waited
		return k, nil
	}
	_, _ = fmt.Fprintln(progress, "downloading a kernel for virtual machines")
	if err := c.makeKernel(ctx); err != nil {
		return Kernel{}, fmt.Errorf("get a kernel: %w", err)
	}
	return c.loadKernel()
}

func (c cached) kernelDir() string {
	return filepath.Join(c.dir, "kernel-"+strconv.Itoa(kernelRevision))
}

// loadKernel reads the kernel from the cache. Its directory is moved in place, so it is complete.
func (c cached) loadKernel() (Kernel, error) {
	k := Kernel{Image: filepath.Join(c.kernelDir(), "vmlinuz")}
	for _, m := range modules {
		k.Modules = append(k.Modules, filepath.Join(c.kernelDir(), m+".ko"))
	}
	_, err := os.Stat(k.Image)
	return k, err
}

func (c cached) makeKernel(ctx context.Context) (err error) {
	if err := c.removeMatching("build-kernel-*"); err != nil { // of a download that was killed
		return err
	}
	work, err := os.MkdirTemp(c.dir, "build-kernel-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	deb, err := apt{work: work, sources: c.recipe.Sources, options: c.recipe.AptOpts}.download(ctx)
	if err != nil {
		return err
	}
	made := filepath.Join(work, "kernel")
	if err := unpackKernel(ctx, deb, made); err != nil {
		return fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
	}
	if err := c.removeMatching("kernel-*"); err != nil {
		return err
	}
	return os.Rename(made, c.kernelDir())
}

// kernelFile returns the name in the cache for a file of the package; "" when the file is not needed.
func kernelFile(name string) string {
	base := filepath.Base(name)
	if strings.HasPrefix(base, "vmlinuz-") {
		return "vmlinuz"
	}
	for _, m := range modules {
		if base == m+".ko" {
			return base
		}
	}
	return ""
}
