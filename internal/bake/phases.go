// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bake

import (
	"fmt"
	"strings"
	"time"
)

// The phases a bake's time is told by, in their order.
const (
	PhasePrepare = "prepare" // compile, check, provisioners
	PhaseStage   = "stage"   // upload
	PhaseMachine = "machine" // from the launch until it has stopped and its verdict is known
	PhaseImage   = "image"   // from the request until it is available
	PhaseCleanup = "cleanup" // until nothing is left but the image
)

// Phases counts where the time of a bake goes.
type Phases struct {
	spent []phase
	since time.Time
}

type phase struct {
	name string
	time time.Duration
}

// Enter ends the phase that runs and begins another; to enter the one that runs changes nothing.
func (p *Phases) Enter(name string) {
	now := time.Now()
	if n := len(p.spent); n > 0 {
		if p.spent[n-1].name == name {
			return
		}
		p.spent[n-1].time += now.Sub(p.since)
	}
	p.spent = append(p.spent, phase{name: name})
	p.since = now
}

// End ends the phase that runs and returns all of them: "prepare 1.2 s, machine 40.0 s, total 41.2 s".
func (p *Phases) End() string {
	p.Enter("")
	var parts []string
	var total time.Duration
	for _, spent := range p.spent {
		if spent.name != "" {
			parts = append(parts, fmt.Sprintf("%s %.1f s", spent.name, spent.time.Seconds()))
			total += spent.time
		}
	}
	return strings.Join(append(parts, fmt.Sprintf("total %.1f s", total.Seconds())), ", ")
}
