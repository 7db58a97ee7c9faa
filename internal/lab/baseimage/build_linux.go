// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package baseimage

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/disk"
)

// noUsrmerge makes apt choose the latter of "usrmerge or usr-is-merged" while the image is built. It does not become
// part of the image.
const noUsrmerge = "etc/apt/preferences.d/no-usrmerge"

// mergedUsr prepares the tree "$1": it makes /bin, /sbin and /lib links, as on every installed Debian, before the first
// package is unpacked. Otherwise usrmerge would do it afterwards, which needs perl: 50 MB.
const mergedUsr = `set -e
mkdir -p "$1/etc/apt/preferences.d"
printf 'Package: usrmerge\nPin: release *\nPin-Priority: -1\n' >"$1/` + noUsrmerge + `"
dirs='bin sbin lib'
if [ "${BAKERY_ARCHITECTURE:-$(dpkg --print-architecture)}" = amd64 ]; then dirs="$dirs lib64"; fi
for d in $dirs; do mkdir -p "$1/usr/$d"; ln -s "usr/$d" "$1/$d"; done`

// runTweak runs a script in the tree "$1".
const runTweak = `chroot "$1" /bin/sh -c "$BAKERY_TWEAK"`

// build builds the image in the directory work, and returns its path and the versions of its packages.
func (r recipe) build(ctx context.Context, work string, progress io.Writer) (image string, versions map[string]string,
	err error) {
	tree := filepath.Join(work, "tree")
	if err := r.bootstrap(ctx, tree, progress); err != nil {
		return "", nil, err
	}
	if err := r.customize(tree); err != nil {
		return "", nil, err
	}
	if versions, err = packageVersions(tree, "cloud-init", "systemd"); err != nil {
		return "", nil, err
	}
	image = filepath.Join(work, "disk.img")
	return image, versions, disk.FromTree(ctx, cmp.Or(r.FileSystem, disk.Ext4), tree, image, disk.DefaultSize)
}

// bootstrap installs packages into tree. When that fails, it tries again without the updates and security archives,
// which old suites do not have any more.
func (r recipe) bootstrap(ctx context.Context, tree string, progress io.Writer) error {
	err := r.mmdebstrap(ctx, tree, r.Sources, progress)
	if err == nil || ctx.Err() != nil || len(r.Sources) < 2 ||
		!strings.Contains(err.Error(), "does not have a Release file") {
		return err
	}
	_, _ = fmt.Fprintf(progress, "%s has no updates on this mirror any more: the release alone is used\n", r.Suite)
	if err := os.RemoveAll(tree); err != nil {
		return err
	}
	return r.mmdebstrap(ctx, tree, r.Sources[:1], progress)
}

func (r recipe) mmdebstrap(ctx context.Context, tree string, sources []string, progress io.Writer) error {
	if _, err := os.Stat(keyring); err != nil {
		return fmt.Errorf("%w; install it with: apt-get install debian-archive-keyring", err)
	}
	if _, err := exec.LookPath("mmdebstrap"); err != nil {
		return fmt.Errorf("%w; install it with: apt-get install mmdebstrap", err)
	}
	// Namespaces of its own, so that nothing is mounted in the tree, and nothing writes to it, when it is removed,
	// however mmdebstrap ends: it finishes what it has begun when it gets a signal.
	args := []string{
		"--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--",
		"mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory",
		"--include=" + strings.Join(r.Packages, ","),
		"--setup-hook=" + mergedUsr,
	}
	if r.Architecture != "" {
		args = append(args, "--architectures="+r.Architecture)
	}
	if r.Tweak != "" {
		args = append(args, "--customize-hook="+runTweak)
	}
	for _, o := range r.AptOpts {
		args = append(args, "--aptopt="+o)
	}
	for _, o := range r.DpkgOpts {
		args = append(args, "--dpkgopt="+o)
	}
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, "unshare", append(append(args, r.Suite, tree), sources...)...)
	cmd.Env = append(os.Environ(), "BAKERY_TWEAK="+r.Tweak, "BAKERY_ARCHITECTURE="+r.Architecture)
	cmd.Stdout = io.MultiWriter(progress, &output)
	cmd.Stderr = cmd.Stdout
	cmd.WaitDelay = 30 * time.Second
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("mmdebstrap: %w", context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("mmdebstrap: %w; it ended with:\n%s", err, lastLines(output.String(), 15))
	}
	return nil
}

// customize adds the image's configuration to the tree, and removes what belongs to one machine or one build.
func (r recipe) customize(tree string) error {
	root, err := os.OpenRoot(tree)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	var problems []error
	for _, pattern := range []string{
		noUsrmerge, "etc/resolv.conf", "etc/hostname", "var/lib/dbus/machine-id", "etc/ssh/ssh_host_*",
		"var/lib/apt/lists/*_*", "var/cache/apt/*.bin", "var/log/*.log", "var/log/apt", "var/cache/debconf/*-old",
	} {
		names, err := filepath.Glob(filepath.Join(tree, pattern))
		problems = append(problems, err)
		for _, name := range names {
			problems = append(problems, root.RemoveAll(strings.TrimPrefix(name, tree+"/")))
		}
	}
	for name, content := range r.Files {
		problems = append(problems, root.WriteFile(name, []byte(content), 0o644))
	}
	for _, unit := range r.Masked {
		problems = append(problems, root.Symlink("/dev/null", "etc/systemd/system/"+unit))
	}
	return errors.Join(problems...)
}

// packageVersions reads the versions of packages from dpkg's database in the tree.
func packageVersions(tree string, names ...string) (map[string]string, error) {
	args := append([]string{"--root=" + tree, "-W", `-f=${Package} ${Version}\n`}, names...)
	out, err := exec.Command("dpkg-query", args...).Output()
	if err != nil {
		return nil, fmt.Errorf("ask for the versions of %s: %w", strings.Join(names, ", "), err)
	}
	versions := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		versions[name] = version
	}
	return versions, nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
