// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// The paths of the programs that make build makes; make bench runs at the top of the repository.
const (
	packerProgram = "bin/packer"
	pluginProgram = "bin/packer-plugin-bakery"
	labProgram    = "bin/bakery-lab"
)

// starts is how often a short program is started; the median counts.
const starts = 9

const nullTemplate = `
source "null" "n" {
  communicator = "none"
}
build {
  sources = ["source.null.n"]
}
`

// benchValidate compares packer validate for a template with the plugin and for one without plugins.
func benchValidate(ctx context.Context, b *bench) error {
	null := filepath.Join(b.dir, "null.pkr.hcl")
	if err := os.WriteFile(null, []byte(nullTemplate), 0o600); err != nil {
		return err
	}
	without, err := b.median(ctx, packerProgram, "validate", null)
	if err != nil {
		return err
	}
	with, err := b.median(ctx, packerProgram, "validate", "example/hello")
	if err != nil {
		return err
	}
	b.report("packer validate, null builder", inSeconds(without), "")
	b.report("packer validate, bakery-userdata", inSeconds(with),
		fmt.Sprintf("%.2f times, %s over it; goal: at most 0.3 s over it", with.Seconds()/without.Seconds(),
			inSeconds(with-without)))

	return nil
}

func benchPlugin(ctx context.Context, b *bench) error {
	info, err := os.Stat(pluginProgram)
	if err != nil {
		return err
	}
	packer, err := os.Stat(packerProgram)
	if err != nil {
		return err
	}
	took, err := b.median(ctx, pluginProgram, "describe")
	if err != nil {
		return err
	}
	nothing, err := b.median(ctx, "true")
	if err != nil {
		return err
	}
	b.report("plugin, stripped", formatBytes(info.Size()),
		fmt.Sprintf("%.2f of packer's %s; goal: under 60 MiB", float64(info.Size())/float64(packer.Size()),
			formatBytes(packer.Size())))
	b.report("plugin, start to end of describe", inSeconds(took),
		fmt.Sprintf("%.0f times true(1)", took.Seconds()/nothing.Seconds()))

	return nil
}

// median returns the median time of a program, with the environment that packer needs.
func (b *bench) median(ctx context.Context, argv ...string) (time.Duration, error) {
	var times []time.Duration
	for range starts {
		begin := time.Now()
		if _, err := b.program(ctx, argv...); err != nil {
			return 0, err
		}
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)

	return times[starts/2], nil
}

// program runs a program and returns what it printed on standard output.
func (b *bench) program(ctx context.Context, argv ...string) (string, error) {
	plugins, err := filepath.Abs("bin/plugins")
	if err != nil {
		return "", err
	}
	var stdout, both bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1", "PACKER_CONFIG_DIR="+b.dir, "PACKER_PLUGIN_PATH="+plugins)
	cmd.Stdout, cmd.Stderr = io.MultiWriter(&stdout, &both), &both
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w (make build?)\n%s", argv[0], err, both.String())
	}

	return stdout.String(), nil
}

func inSeconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }
