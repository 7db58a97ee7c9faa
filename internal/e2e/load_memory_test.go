// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// footprint is the most memory, in bytes, that a run of packer has had at one time.
type footprint struct {
	pss     int64 // of all processes of the plugin together; a page that n processes share counts 1/n for each
	largest int64 // resident memory of the largest process of the plugin, shared pages included
	packer  int64 // pss of the processes of packer itself
}

// runMeasured runs packer and measures the memory of its processes once in each interval.
func runMeasured(t *testing.T, interval time.Duration, dir string, env, argv []string) (packertest.Result, footprint) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	var most footprint
	for tick := time.NewTicker(interval); ; {
		select {
		case <-ended:
			tick.Stop()
			return packertest.Result{Code: cmd.ProcessState.ExitCode(), Output: out.String()}, most
		case <-tick.C:
			most = most.max(footprintOf(cmd.Process.Pid))
		}
	}
}

func (f footprint) max(g footprint) footprint {
	return footprint{max(f.pss, g.pss), max(f.largest, g.largest), max(f.packer, g.packer)}
}

// footprintOf measures a process of packer and its descendants.
func footprintOf(root int) footprint {
	var f footprint
	for _, pid := range processTree(root) {
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		program, err := os.Readlink(filepath.Join(dir, "exe"))
		if err != nil {
			continue // it has ended meanwhile
		}
		pss := kilobytes(filepath.Join(dir, "smaps_rollup"), "Pss:")
		if !strings.HasPrefix(filepath.Base(program), "packer-plugin-") { // the folder may have that name too
			f.packer += pss
			continue
		}
		f.pss += pss
		f.largest = max(f.largest, kilobytes(filepath.Join(dir, "status"), "VmHWM:"))
	}
	return f
}

// processTree lists a process and its descendants.
func processTree(root int) []int {
	children := map[int][]int{}
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range all {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		// PID (NAME) STATE PPID ..., and a name may have anything in it: proc_pid_stat(5).
		_, rest, _ := strings.Cut(string(text[bytes.LastIndexByte(text, ')')+1:]), " ")
		fields := strings.Fields(rest)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		parent, err := strconv.Atoi(fields[1])
		if err == nil {
			children[parent] = append(children[parent], pid)
		}
	}
	tree := []int{root}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i]]...)
	}
	return tree
}

// kilobytes is the value of a line such as "Pss:  123 kB" of a file, in bytes; 0 when the file is gone.
func kilobytes(file, name string) int64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			return kb << 10
		}
	}
	return 0
}
