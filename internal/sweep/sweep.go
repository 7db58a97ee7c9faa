// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package sweep removes what killed bakes have left in an account, once it has expired: what has the tags of a bake in
// EC2, what is staged under a name that says when it expires, and temporary roles.
//
// It knows things by their tags and names only. It may not know the settings of the bake that made them, nor of the
// bake it runs beside.
package sweep

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

// Sweeper removes what has expired.
type Sweeper struct {
	// Bake says what was removed. Its clock decides what has expired.
	Bake    *bake.Bake
	Clients *awscall.Clients
	// Regions are the regions to sweep.
	Regions []string
	// Store is where files are staged; nil without staging.
	Store *staging.Store
	// Roles sweeps temporary roles as well. It needs further rights, which only some bakes need themselves.
	Roles bool
}

// Sweep removes everything that has expired, in all places at the same time. Where nothing has expired, it makes one
// call for each region, two for staging and one for roles.
func (s *Sweeper) Sweep(ctx context.Context) *Result {
	var running sync.WaitGroup
	var parts []*Result
	start := func(sweep func(context.Context, *Result) error) {
		part := new(Result)
		parts = append(parts, part)
		running.Go(func() {
			if err := sweep(ctx, part); err != nil {
				part.Errs = []error{err}
			}
		})
	}
	for _, region := range s.Regions {
		start(func(ctx context.Context, r *Result) error { return s.sweepRegion(ctx, region, r) })
	}
	if !s.Bake.Clock.Known() { // then the calls of EC2 are the first to learn AWS's time
		running.Wait()
	}
	if s.Store != nil {
		start(s.sweepStaging)
	}
	if s.Roles {
		start(s.sweepRoles)
	}
	running.Wait()
	return join(parts)
}

// mayRemove reports whether what expires at a time may be removed now. It goes by AWS's clock only: this computer's may
// be hours ahead.
func (s *Sweeper) mayRemove(expires time.Time) bool {
	clock := &s.Bake.Clock
	return clock.Known() && clock.Now().After(expires.Add(bake.SweepMargin))
}

// report adds something that was removed to a result, and tells the user.
func (s *Sweeper) report(r *Result, format string, args ...any) {
	what := oneLine.Replace(fmt.Sprintf(format, args...))
	r.Removed = append(r.Removed, what)
	s.Bake.Say("Swept %s, which a killed bake had left", what)
}

// oneLine escapes the line breaks in names, which others may have chosen.
var oneLine = strings.NewReplacer("\n", `\n`, "\r", `\r`, "\v", `\v`, "\f", `\f`, "\u0085", `\u0085`,
	"\u2028", `\u2028`, "\u2029", `\u2029`)
