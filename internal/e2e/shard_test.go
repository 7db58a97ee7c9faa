// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"flag"
	"fmt"
	"testing"
)

// shard is the part of a long test that this run does: `-shard 2/8` is the second of eight. All shards together do what
// a run without the flag does, so a run of hours can be spread over several days.
var shard = newShard()

type shardFlag struct{ number, of int }

func newShard() *shardFlag {
	s := &shardFlag{number: 1, of: 1}
	flag.Var(s, "shard", "run `I/N`, the I-th of N parts, of TestFaults, TestKills, TestGuests, TestSecrets and "+
		"TestSoak")
	return s
}

// String implements flag.Value, as does Set.
func (s *shardFlag) String() string {
	if s == nil || s.of == 0 { // the zero value, which package flag makes to find the default
		return ""
	}
	return fmt.Sprintf("%d/%d", s.number, s.of)
}

// Set parses I/N.
func (s *shardFlag) Set(text string) error {
	var number, of int
	if _, err := fmt.Sscanf(text, "%d/%d", &number, &of); err != nil || fmt.Sprintf("%d/%d", number, of) != text {
		return fmt.Errorf("%q is not of the form I/N", text)
	}
	if number < 1 || number > of {
		return fmt.Errorf("shard %d of %d does not exist", number, of)
	}
	s.number, s.of = number, of
	return nil
}

// has reports whether the i-th piece of work, counted from 0, belongs to the shard.
func (s *shardFlag) has(i int) bool { return i%s.of == s.number-1 }

// part returns what belongs to the shard.
func part[T any](all []T) []T {
	var mine []T
	for i, one := range all {
		if shard.has(i) {
			mine = append(mine, one)
		}
	}
	return mine
}

func TestShardsCoverEverythingOnce(t *testing.T) {
	t.Parallel()
	const pieces = 17
	for of := 1; of <= pieces+1; of++ {
		count := make([]int, pieces)
		for number := 1; number <= of; number++ {
			var s shardFlag
			if err := s.Set(fmt.Sprintf("%d/%d", number, of)); err != nil {
				t.Fatal(err)
			}
			for i := range count {
				if s.has(i) {
					count[i]++
				}
			}
		}
		for i, n := range count {
			if n != 1 {
				t.Errorf("with %d shards, piece %d is in %d of them", of, i, n)
			}
		}
	}
	for _, text := range []string{"", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "1/2 "} {
		if err := new(shardFlag).Set(text); err == nil {
			t.Errorf("-shard %q is accepted", text)
		}
	}
}
