// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// overheadLimit is for processor time, which other tests at the same time make little longer. It is far above the goal
// of 0.3 s, which make bench measures.
const overheadLimit = time.Second

func TestValidateTakesLittleLongerThanWithoutThePlugin(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "null.pkr.hcl"), `
source "null" "n" {
  communicator = "none"
}
build {
  sources = ["source.null.n"]
}
`, 0o644)
	hello := filepath.Join(packertest.Root(), "example", "hello")
	without, with := medianOfFive(t, dir, "null.pkr.hcl"), medianOfFive(t, dir, hello)
	t.Logf("packer validate: %v with the null builder, %v with bakery-userdata: %v over it", without, with,
		with-without)
	if with-without > overheadLimit {
		t.Errorf("validate takes %v longer with the plugin", with-without)
	}
}

func medianOfFive(t *testing.T, dir, template string) time.Duration {
	t.Helper()

	var times []time.Duration
	for range 5 {
		times = append(times, packertest.ValidateTime(t, dir, packertest.Env(t), template).Round(time.Millisecond))
	}
	slices.Sort(times)

	return times[2]
}
