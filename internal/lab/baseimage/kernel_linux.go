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
	"slices"
	"strconv"
	"strings"
)

// kernelSuite is the suite of the kernel, which works with the systemd of every suite.
const kernelSuite = "bookworm"

// kernelRevision is the version of the code below. Change it when the code changes, so that the kernel is downloaded
// again.
const kernelRevision = 1

// kernel is a kernel that Debian has.
type kernel struct {
	architecture string // dpkg's
	name         string // of its files in the cache, without a dash: old ones are removed by NAME-*
	// modules are the drivers for QEMU's machines that are not built in: for a virtio network card, and for the power
	// button, which logind reads through evdev. Dependencies come first.
	modules []string
}

var kernels = []kernel{
	{"amd64", "kernel", []string{
		"virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci",
		"failover", "net_failover", "virtio_net", "button", "evdev",
	}},
	{"arm64", "kernelarm64", []string{
		"virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci_legacy_dev", "virtio_pci",
		"failover", "net_failover", "virtio_net", "evdev",
	}},
}

var errNoMirror = errors.New("get a kernel: apt of this computer knows no mirror of Debian: name one in " +
	"/etc/apt/sources.list.d, " +
	"as in sources.list(5)")

// EnsureKernel returns a kernel for virtual machines of an architecture, amd64 or arm64. It downloads Debian's when
// cacheDir/base has none, which takes some seconds and does not need root. Other than an image, the kernel is not
// replaced when the mirror changes.
func EnsureKernel(ctx context.Context, cacheDir, architecture string, progress io.Writer) (Kernel, error) {
	at := slices.IndexFunc(kernels, func(k kernel) bool { return k.architecture == architecture })
	if at < 0 {
		return Kernel{}, fmt.Errorf("get a kernel: there is none for %s", architecture)
	}
	c := cachedKernel{kernel: kernels[at]}
	c.dir = filepath.Join(cacheDir, "base")
	c.recipe = recipe{Suite: c.kernel.name, Sources: ownMirror("/etc/apt").sourcesList(kernelSuite),
		AptOpts: aptOptions()}
	k, err := c.load()
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
	if k, err := c.load(); err == nil { // made while we waited
		return k, nil
	}
	_, _ = fmt.Fprintln(progress, "downloading a kernel for virtual machines")
	if err := c.download(ctx); err != nil {
		return Kernel{}, fmt.Errorf("get a kernel: %w", err)
	}
	return c.load()
}

// cachedKernel is a kernel in the cache, or to be downloaded.
type cachedKernel struct {
	cached
	kernel kernel
}

// files returns the directory of the kernel.
func (c cachedKernel) files() string {
	return filepath.Join(c.dir, c.kernel.name+"-"+strconv.Itoa(kernelRevision))
}

// load reads the kernel from the cache. Its directory is moved in place, so it is complete.
func (c cachedKernel) load() (Kernel, error) {
	k := Kernel{Image: filepath.Join(c.files(), "vmlinuz")}
	for _, m := range c.kernel.modules {
		k.Modules = append(k.Modules, filepath.Join(c.files(), m+".ko"))
	}
	_, err := os.Stat(k.Image)
	return k, err
}

func (c cachedKernel) download(ctx context.Context) (err error) {
	building := "build-" + c.kernel.name + "-"
	if err := c.removeMatching(building + "*"); err != nil { // of a download that was killed
		return err
	}
	work, err := os.MkdirTemp(c.dir, building)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	deb, err := apt{work: work, architecture: c.kernel.architecture, sources: c.recipe.Sources,
		options: c.recipe.AptOpts}.downloadKernel(ctx)
	if err != nil {
		return err
	}
	made := filepath.Join(work, "kernel")
	if err := c.kernel.unpack(ctx, deb, made); err != nil {
		return fmt.Errorf("unpack %s: %w", filepath.Base(deb), err)
	}
	if err := c.removeMatching(c.kernel.name + "-*"); err != nil {
		return err
	}
	return os.Rename(made, c.files())
}

// file returns the name in the cache for a file of the package; "" when the file is not needed.
func (k kernel) file(name string) string {
	base := filepath.Base(name)
	if strings.HasPrefix(base, "vmlinuz-") {
		return "vmlinuz"
	}
	for _, m := range k.modules {
		if base == m+".ko" {
			return base
		}
	}
	return ""
}
