// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// Reading an assignment must not depend on how many there were before.
func TestAssignmentsOfCompileShAreReadOnceEach(t *testing.T) {
	const n = 3000
	o := newScriptOutput(nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range n {
		o.stdout(fmt.Sprintf("V%d=value", i))
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / n; each > 64<<10 {
		t.Errorf("an assignment allocates %d bytes", each)
	}
	if env := o.vars.Env(); len(env.Names) != n || env.Vars["V2999"] != "value" {
		t.Errorf("%d assignments were read of %d", len(env.Names), n)
	}
}

func TestAssignmentsOfCompileShAreBounded(t *testing.T) {
	o := newScriptOutput(nil)
	line := strings.Repeat("x", 8000)
	for i := range 1000 {
		o.stdout(fmt.Sprintf("V%d=%s", i, line))
	}
	const want = "its assignments are larger than 512 KiB: write large values into files of fs/"
	if o.tooLarge == nil || o.tooLarge.Error() != want || len(o.vars.Env().Names) > 100 {
		t.Errorf("%d assignments were read: %v", len(o.vars.Env().Names), o.tooLarge)
	}
}

func BenchmarkAssignments(b *testing.B) {
	for _, n := range []int{500, 1000, 2000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				o := newScriptOutput(nil)
				for i := range n {
					o.stdout(fmt.Sprintf("V%d=value", i))
				}
			}
		})
	}
}
