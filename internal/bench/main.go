// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Command bench measures the speed and size of this project. It compares each figure with that of a known program
// measured in the same run, because seconds alone depend more on the computer than on the program.
//
//	go run ./internal/bench                                 # everything
//	go run ./internal/bench -size 256MiB compile memory     # some of it, smaller
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
)

// section is one thing to measure.
type section struct {
	name  string
	about string
	run   func(context.Context, *bench) error
	named bool // runs only when it is named on the command line
}

var sections = []section{
	{"compile", "compile a mixed tree, against tar | gzip -6 and tar | pigz", benchCompile, false},
	{"memory", "peak memory of compiling a small and a large tree", benchMemory, false},
	{"validate", "packer validate, against a template without the plugin", benchValidate, false},
	{"linear", "by how much the time grows for input of twice the size", benchLinear, false},
	{"plugin", "size and start-up of the plugin", benchPlugin, false},
	{"bake", "a bake on the lab, against the machine alone (needs root)", benchBake, false},
	{"peer", "a bake beside the real amazon-ebs without SSH (make bench-peer)", benchPeer, true},
}

// bench is the state that the sections share.
type bench struct {
	out  io.Writer
	dir  string // for temporary files; removed at the end
	size int64  // bytes of the tree to compile
}

// report prints one figure: what was measured, the value, and a comparison.
func (b *bench) report(what, value, against string) {
	fmt.Fprintf(b.out, "  %-34s %18s   %s\n", what, value, against)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) == 4 && os.Args[1] == childCommand {
		exit(child(ctx, os.Args[2], os.Args[3]))
	}
	exit(run(ctx, os.Args[1:], os.Stdout))
}

func exit(err error) {
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	size := byteSize(2 << 30)
	flags.Var(&size, "size", "`bytes` of the tree to compile, with KiB, MiB or GiB")
	scratch := flags.String("dir", "", "`directory` for scratch files, of about four times the size (default: that "+
		"of temporary files)")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: bench [flags] [section...]")
		flags.PrintDefaults()
		for _, s := range sections {
			fmt.Fprintf(flags.Output(), "  %s\n    \t%s\n", s.name, s.about)
		}
	}
	if err := flags.Parse(args); err != nil {
		return err
	}
	chosen, err := choose(flags.Args())
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp(*scratch, "bakery-bench-")
	if err != nil {
		return fmt.Errorf("make a scratch directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{out: out, dir: dir, size: int64(size)}
	for _, s := range chosen {
		fmt.Fprintf(out, "%s: %s\n", s.name, s.about)
		if err := s.run(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// choose returns the named sections, or without names all that need not be named.
func choose(names []string) ([]section, error) {
	var chosen []section
	if len(names) == 0 {
		return slices.DeleteFunc(slices.Clone(sections), func(s section) bool { return s.named }), nil
	}
	for _, name := range names {
		i := slices.IndexFunc(sections, func(s section) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no section %q; see bench -help", name)
		}
		chosen = append(chosen, sections[i])
	}
	return chosen, nil
}

// byteSize is a flag such as 2GiB.
type byteSize int64

var units = []struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

func (s *byteSize) String() string { return formatBytes(int64(*s)) }

func (s *byteSize) Set(text string) error {
	for _, unit := range units {
		if number, ok := strings.CutSuffix(text, unit.name); ok {
			var n int64
			if _, err := fmt.Sscanf(number+";", "%d;", &n); err != nil || n <= 0 {
				return errors.New("want a size such as 256MiB")
			}
			*s = byteSize(n * unit.bytes)
			return nil
		}
	}
	return nil
}

func formatBytes(n int64) string {
	for _, unit := range units {
		if n >= unit.bytes && unit.bytes > 1 {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(unit.bytes), unit.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
