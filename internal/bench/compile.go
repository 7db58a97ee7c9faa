// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
)

// rounds is how often the fast programs are measured, in turns. The best result counts, because other work of the
// computer only makes a program slower.
const rounds = 3

// result is one measurement.
type result struct {
	took time.Duration
	size int64 // of the output, bytes
	peak int64 // memory, bytes
}

// faster returns the faster of two measurements; the zero result means not measured.
func faster(a, b result) result {
	if a.took == 0 || b.took < a.took {
		return b
	}
	return a
}

func benchCompile(ctx context.Context, b *bench) error {
	source := filepath.Join(b.dir, "compile")
	fs := filepath.Join(source, "fs")
	if err := mixedTree(fs, b.size); err != nil {
		return err
	}
	defer os.RemoveAll(source)
	// After this, all programs read the files from memory, if there is enough of it.
	if _, err := b.shell(ctx, `tar -C "$1" -cf - . | cat >/dev/null`, fs); err != nil {
		return err
	}
	gzip, err := b.shell(ctx, `tar -C "$1" -cf - . | gzip -6 >"$2"`, fs)
	if err != nil {
		return err
	}
	var ours, pigz result
	for range rounds {
		p, err := b.shell(ctx, `tar -C "$1" -cf - . | pigz -6 >"$2"`, fs)
		if err != nil {
			return err
		}
		o, err := compileApart(ctx, source, filepath.Join(b.dir, "bundle"))
		if err != nil {
			return err
		}
		pigz, ours = faster(pigz, p), faster(ours, o)
	}
	b.reportCompile(gzip, pigz, ours)
	return nil
}

func (b *bench) reportCompile(gzip, pigz, ours result) {
	speed := func(r result) string {
		return fmt.Sprintf("%.0f MiB/s", float64(b.size)/(1<<20)/r.took.Seconds())
	}
	against := func(name string, r result) string {
		return fmt.Sprintf("%.2f x the speed of %s, %.3f x the size", r.took.Seconds()/ours.took.Seconds(), name,
			float64(ours.size)/float64(r.size))
	}
	b.report("tree", formatBytes(b.size), fmt.Sprintf("%.0f %% text, %.0f %% binaries, the rest random", 100*textShare,
		100*binaryShare))
	b.report("tar | gzip -6", speed(gzip), formatBytes(gzip.size))
	b.report("tar | pigz -6", speed(pigz), formatBytes(pigz.size))
	b.report("compile", speed(ours), formatBytes(ours.size))
	b.report("", "", against("tar | gzip -6", gzip))
	b.report("", "", against("tar | pigz -6", pigz))
}

func benchMemory(ctx context.Context, b *bench) error {
	var peaks []int64
	sizes := []int64{b.size / 10, b.size * 2}
	for _, size := range sizes {
		source := filepath.Join(b.dir, "memory")
		if err := mixedTree(filepath.Join(source, "fs"), size); err != nil {
			return err
		}
		r, err := compileApart(ctx, source, filepath.Join(b.dir, "bundle"))
		if err := errors.Join(err, os.RemoveAll(source)); err != nil {
			return err
		}
		peaks = append(peaks, r.peak)
		b.report("peak memory, tree of "+formatBytes(size), formatBytes(r.peak),
			fmt.Sprintf("%.2f x the goal of 100 MiB", float64(r.peak)/(100<<20)))
	}
	b.report("a tree 20 times as large", "", fmt.Sprintf("%.2f x the memory", float64(peaks[1])/float64(peaks[0])))
	return nil
}

// shell measures a script that gets the directory to read and the file to write.
func (b *bench) shell(ctx context.Context, script, dir string) (result, error) {
	out := filepath.Join(b.dir, "out.tgz")
	if err := os.WriteFile(out, nil, 0o600); err != nil {
		return result{}, err
	}
	defer os.Remove(out)
	start := time.Now()
	if output, err := exec.CommandContext(ctx, "sh", "-c", script, "sh", dir, out).CombinedOutput(); err != nil {
		return result{}, fmt.Errorf("run %s: %w: %s", script, err, output)
	}
	took := time.Since(start)
	info, err := os.Stat(out)
	if err != nil {
		return result{}, err
	}
	return result{took: took, size: info.Size()}, nil
}

const childCommand = "compile-apart"

// compileApart compiles in a child process, so that its memory can be measured separately.
func compileApart(ctx context.Context, source, target string) (result, error) {
	program, err := os.Executable()
	if err != nil {
		return result{}, err
	}
	defer os.RemoveAll(target)
	cmd := exec.CommandContext(ctx, program, childCommand, source, target)
	cmd.Stderr = os.Stderr
	start := time.Now()
	output, err := cmd.Output()
	if err != nil {
		return result{}, fmt.Errorf("compile %s: %w", source, err)
	}
	r := result{took: time.Since(start)}
	if _, err := fmt.Sscan(string(output), &r.size, &r.peak); err != nil {
		return result{}, fmt.Errorf("read what compiling printed, %q: %w", output, err)
	}
	return r, nil
}

// child compiles, and prints the size of the output and the peak memory.
func child(ctx context.Context, source, target string) error {
	compiled, err := bundle.Compile(ctx, bundle.Options{Source: source, Target: target})
	if err != nil {
		return err
	}
	peak, err := peakMemory()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(os.Stdout, compiled.UserData.Size+compiled.FS.Size, peak)
	return err
}

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s*(\d+) kB$`)

// peakMemory returns the peak memory of this process, including the runtime and the program.
func peakMemory() (int64, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, fmt.Errorf("find out about memory, which needs Linux: %w", err)
	}
	found := highWater.FindSubmatch(status)
	if found == nil {
		return 0, errors.New("find out about memory: /proc/self/status has no VmHWM")
	}
	kB, err := strconv.ParseInt(string(found[1]), 10, 64)
	return kB << 10, err
}
