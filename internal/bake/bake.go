// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package bake is what every concern of one bake shares: its id, what it says to the user, the ledger of what it must
// undo, the phases its time is counted by, when its things expire, and the keys of its tags.
//
// It may not know what a bake makes: instances, images, groups. Those packages add their entries to the ledger, and
// say themselves how an entry is undone.
package bake

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/redact"
)

// Bake is one bake: one run of the builder, or of another that launches machines and makes images.
type Bake struct {
	ID        string // see guest.NewBakeID; every report, tag and staged file of this bake carries it
	ImageName string // of the image that is wanted
	UI        packersdk.Ui
	CLI       CLI
	Ledger    Ledger
	Phases    Phases
	Clock     Clock
	// Lifetime is how long the bake may take at most, from any moment on. What it makes expires after that.
	Lifetime time.Duration

	warned   sync.Once
	attempts atomic.Int32
}

// NextAttempt returns the number of an attempt to bake on a machine, from 1: the second is for a Spot Instance that AWS
// took back, and for a step that the user has Packer try again.
func (b *Bake) NextAttempt() int { return int(b.attempts.Add(1)) }

// ErrCancelled is how a bake ends that the user has interrupted.
var ErrCancelled = errors.New("the bake was cancelled")

// Say tells the user something. Secrets are replaced, wherever the text is from.
func (b *Bake) Say(format string, args ...any) {
	b.UI.Say(redact.Text(fmt.Sprintf(format, args...)))
}

// Warn tells the user about something that does not stop the bake, but may explain what will.
func (b *Bake) Warn(format string, args ...any) {
	b.UI.Error(redact.Text("warning: " + fmt.Sprintf(format, args...)))
}

// WarnOnce is Warn for what may be true of many resources of a bake. Only the first warning is shown.
func (b *Bake) WarnOnce(format string, args ...any) {
	b.warned.Do(func() { b.Warn(format, args...) })
}

// Expiry returns when what is made now may be removed by whoever finds it. A bake that is alive is never that old.
func (b *Bake) Expiry() time.Time {
	return b.Clock.Now().Add(b.Lifetime).UTC().Truncate(time.Second)
}

// TemporaryTags are the tags of everything that is gone after the bake.
func (b *Bake) TemporaryTags() map[string]string {
	return map[string]string{
		TagName:    "bakery " + b.ImageName,
		TagBake:    b.ID,
		TagExpires: b.Expiry().Format(time.RFC3339),
	}
}

// ReportLeftovers names what still exists, with the commands that remove it: after -on-error=abort, or when cleaning up
// has failed or was cut short. It reports whether there is anything.
func (b *Bake) ReportLeftovers() bool {
	left := b.Ledger.List()
	if len(left) == 0 {
		return false
	}
	b.Say("Not removed:")
	for _, what := range left {
		b.Say("    %s", what)
	}
	if commands := b.Ledger.Commands(); len(commands) > 0 {
		b.Say("These commands remove it, in this order:")
		for _, command := range commands {
			b.Say("    %s", command)
		}
	}
	return true
}
