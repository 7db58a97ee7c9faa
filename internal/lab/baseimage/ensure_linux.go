// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package baseimage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Ensure returns a base image by its name. When cacheDir/base has none of the current recipe, it builds one, which
// takes about a minute and 300 MB; progress gets messages. Concurrent calls, also in other processes, wait for one
// build. Images of older recipes are removed.
func Ensure(ctx context.Context, cacheDir, name string, progress io.Writer) (Image, error) {
	v, ok := find(name)
	if !ok {
		return Image{}, fmt.Errorf("make a base image %q: there are %s", name, strings.Join(Names, ", "))
	}
	c := cached{dir: filepath.Join(cacheDir, "base"), recipe: newRecipe(v, ownMirror("/etc/apt"), aptOptions())}
	if image, err := c.load(); err == nil {
		return image, nil
	}
	image, err := c.buildOnce(ctx, progress)
	if err != nil {
		return Image{}, fmt.Errorf("make the base image %s: %w", name, err)
	}
	return image, nil
}

// cached is a base image in the cache, or to be built there.
type cached struct {
	dir    string
	recipe recipe
}

func (c cached) path(ending string) string { return filepath.Join(c.dir, c.recipe.name()+ending) }

// load reads the image from the cache. Its description is written last, so an image with one is complete.
func (c cached) load() (Image, error) {
	text, err := os.ReadFile(c.path(".json"))
	if err != nil {
		return Image{}, err
	}
	image := Image{Name: c.recipe.image(), Disk: c.path(".img")}
	if err := json.Unmarshal(text, &image.Versions); err != nil {
		return Image{}, err
	}
	_, err = os.Stat(image.Disk)
	return image, err
}

// errNotRoot: mmdebstrap installs packages, which runs their scripts as root.
var errNotRoot = errors.New("it needs root; run bakery-lab image build once as root, with BAKERY_LAB_HOME set to a " +
	"directory " +
	"that others can read, and set BAKERY_LAB_BASE to that directory")

func (c cached) buildOnce(ctx context.Context, progress io.Writer) (Image, error) {
	if os.Geteuid() != 0 {
		return Image{}, errNotRoot
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return Image{}, err
	}
	unlock, err := c.lock(ctx, progress)
	if err != nil {
		return Image{}, err
	}
	defer unlock()
	if image, err := c.load(); err == nil { // built while this process waited
		return image, nil
	}
	if err := c.build(ctx, progress); err != nil {
		return Image{}, err
	}
	return c.load()
}

// lock prevents others from building images of the name, and from removing a build directory.
func (c cached) lock(ctx context.Context, progress io.Writer) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, c.recipe.image()+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for printed := false; ; {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			break
		}
		if !printed {
			printed = true
			_, _ = fmt.Fprintf(progress, "waiting for another process that makes the base image %s\n",
				c.recipe.image())
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		case <-time.After(200 * time.Millisecond):
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

// build builds the image in a directory of its own and moves it in place.
func (c cached) build(ctx context.Context, progress io.Writer) (err error) {
	if err := c.removeMatching("build-" + c.recipe.image() + "-*"); err != nil { // of a build that was killed
		return err
	}
	work, err := os.MkdirTemp(c.dir, "build-"+c.recipe.image()+"-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	image, versions, err := c.recipe.build(ctx, work, progress)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(versions, "", "  ")
	if err != nil {
		return err
	}
	if err := c.removeMatching(c.recipe.image() + "-*"); err != nil {
		return err
	}
	// Everybody who can read the cache may clone the image. It has no secrets.
	if err := errors.Join(os.Chmod(image, 0o644), os.Rename(image, c.path(".img"))); err != nil {
		return err
	}
	return os.WriteFile(c.path(".json"), append(text, '\n'), 0o644)
}

// removeMatching removes the files in the cache that match a pattern.
func (c cached) removeMatching(pattern string) error {
	old, err := filepath.Glob(filepath.Join(c.dir, pattern))
	if err != nil {
		return err
	}
	for _, path := range old {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}
