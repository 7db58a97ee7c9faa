// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
)

// linearBenchmarks are the packages and benchmarks that read foreign bytes of several sizes, each the double of the one
// before. Their names end with the size.
var linearBenchmarks = [][2]string{
	{"./internal/machinelog", "^Benchmark(Console|Log)$"},
	{"./internal/imagesource", "^BenchmarkParseEnv$"},
	{"./internal/bundle", "^BenchmarkAssignments$"},
	{"./internal/cloudconfig", "^BenchmarkParse$"},
	{"./internal/userdata", "^BenchmarkParse$"},
}

// benchLinear measures by how much the time grows when what is read is twice as long: 2 is linear, 4 is quadratic.
func benchLinear(ctx context.Context, b *bench) error {
	for _, l := range linearBenchmarks {
		out, err := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", l[1], "-benchtime", "0.1s",
			l[0]).CombinedOutput()
		if err != nil {
			return fmt.Errorf("go test -bench %s %s: %w\n%s", l[1], l[0], err, out)
		}
		for _, g := range growths(string(out)) {
			b.report(g.name, fmt.Sprintf("%.2f times", g.ratio),
				fmt.Sprintf("the time for %d instead of %d; 2 is linear", g.size, g.size/2))
		}
	}
	return nil
}

// growth compares the time of a benchmark for an input with the time for half of it.
type growth struct {
	name  string
	size  int
	ratio float64
}

// benchmarkLine matches a line of go test: the name of a benchmark, the size, and nanoseconds.
var benchmarkLine = regexp.MustCompile(`(?m)^Benchmark(\S+)/(\d+)(?:-\d+)?\s+\d+\s+([0-9.]+) ns/op`)

// growths returns the growth to the largest size of each benchmark, the largest growth first.
func growths(output string) []growth {
	times := map[string]map[int]float64{}
	for _, m := range benchmarkLine.FindAllStringSubmatch(output, -1) {
		size, _ := strconv.Atoi(m[2]) // digits
		took, _ := strconv.ParseFloat(m[3], 64)
		if times[m[1]] == nil {
			times[m[1]] = map[int]float64{}
		}
		times[m[1]][size] = took
	}
	var all []growth
	for name, of := range times {
		largest := 0
		for size := range of {
			largest = max(largest, size)
		}
		if half := of[largest/2]; half > 0 {
			all = append(all, growth{name, largest, of[largest] / half})
		}
	}
	slices.SortFunc(all, func(a, b growth) int {
		if a.ratio > b.ratio {
			return -1
		}
		return 1
	})
	return all
}
