// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"testing"
	"time"
)

var (
	definition = regexp.MustCompile(`(?m)^(bakery_\w+)\(\) \{`)
	// A word that is no variable: not behind a dollar, and not assigned.
	word = regexp.MustCompile(`(^|[^$\w{/.-])(bakery_[a-z_]+)\b([^\w=.-]|$)`)
)

// TestProgramWithoutFeaturesIsWhole checks that no function is called that was left out.
func TestProgramWithoutFeaturesIsWhole(t *testing.T) {
	all := []feature{featureReplay, featureTransfers, featureLines, featureWipe, featureArchives,
		featureCommands}
	// Those that are one function each would make too many programs.
	single := feature{}
	for _, f := range []feature{featureMerge, featureTail, featureBoothooks, featureOpaque, featureUserData} {
		maps.Copy(single, f)
	}
	all = append(all, single)
	var functions []string
	for _, m := range definition.FindAllSubmatch(programSource, -1) {
		functions = append(functions, string(m[1]))
	}
	for _, f := range all {
		for name := range f {
			if !slices.Contains(functions, name) {
				t.Errorf("the guest program has no function %s", name)
			}
		}
	}
	for n := range 1 << len(all) {
		var left []feature
		for i, f := range all {
			if n&(1<<i) != 0 {
				left = append(left, f)
			}
		}
		text := strip(without(programSource, left...))
		for _, sh := range [][]string{{"dash", "-n"}, {"bash", "--posix", "-n"}} {
			cmd := exec.CommandContext(t.Context(), sh[0], sh[1:]...)
			cmd.Stdin = bytes.NewReader(text)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", sh[0], err, out)
			}
		}
		if n != 1<<len(all)-1 && bits(n) != 1 {
			continue
		}
		defined := map[string]bool{}
		for _, m := range definition.FindAllSubmatch(text, -1) {
			defined[string(m[1])] = true
		}
		for _, m := range word.FindAllSubmatch(text, -1) {
			if name := string(m[2]); slices.Contains(functions, name) && !defined[name] && !guarded(name) {
				t.Errorf("without %07b, %s is called and not there", n, name)
			}
		}
	}
}

func bits(n int) (count int) {
	for ; n > 0; n &= n - 1 {
		count++
	}
	return count
}

// guarded reports whether a function is called only where its feature is used: for a setting, or for a kind of step.
func guarded(name string) bool {
	return slices.Contains([]string{
		"bakery_put_commitment", "bakery_explain_transfer", "bakery_wipe_free_space", "bakery_exec_log_stream",
		"bakery_download", "bakery_extract", "bakery_replay", "bakery_run_commands",
		"bakery_report_tail", "bakery_watch_runcmd", "bakery_has_ended_operation", "bakery_wipe_user_data",
		"bakery_pause", // also a variable
	}, name)
}

// TestUserDataLeavesRoom prints how much of the user data a document without anything in it takes, and checks that it
// does not grow unnoticed.
func TestUserDataLeavesRoom(t *testing.T) {
	config := Program{CloudConfig: []byte("#cloud-config\npackages: [nginx]\n"), Keys: []string{"packages"}}
	key := NewKey()
	recording := &Recording{Files: Files{Inline: []byte("x")}}
	for _, c := range []struct {
		name    string
		program Program
		d       Delivery
		most    int // bytes
	}{
		{"a script", Program{Install: []byte("#!/bin/sh\n")}, Delivery{}, 11250},
		{"a script, and lines", Program{Install: []byte("#!/bin/sh\n")}, Delivery{Key: &key, Live: ByConsole}, 13400},
		{"a cloud-config", config, Delivery{}, 14250},
		{"recorded provisioners", Program{}, Delivery{Recording: recording}, 13250},
	} {
		document, err := Document(c.program)
		if err != nil {
			t.Fatal(err)
		}
		c.d.Timeout = time.Minute
		delivered, err := Deliver(document, Launch{Reader: testReader}, c.d)
		if err != nil {
			t.Fatal(err)
		}
		size := len(Compress(delivered))
		t.Logf("%s: %d bytes, %d are left", c.name, size, MaxUserData-size)
		if size > c.most {
			t.Errorf("%s: the user data is %d bytes, and was to be at most %d", c.name, size, c.most)
		}
	}
}
