// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bake

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestPhasesAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Phases
		time.Sleep(time.Hour) // before the first phase, which does not count
		p.Enter(PhasePrepare)
		time.Sleep(1200 * time.Millisecond)
		p.Enter(PhaseMachine)
		time.Sleep(10 * time.Second)
		p.Enter(PhaseMachine)
		time.Sleep(30 * time.Second)
		if got, want := p.End(), "prepare 1.2 s, machine 40.0 s, total 41.2 s"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
