// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/smithy-go"
	"github.com/hashicorp/packer-plugin-sdk/multistep"

	"github.com/amibakery/packer-plugin-bakery/internal/awsconfig"
)

const (
	// sweepMargin is how long after its expiry a thing is left alone, for computers whose clocks differ.
	sweepMargin = 5 * time.Minute
	// sweepTimeout is how long a bake may be kept waiting by its sweep. What is not gone then, the next one removes.
	sweepTimeout = 5 * time.Minute
)

// stepSweep begins to remove what killed bakes have left, beside everything else the bake does. Run waits for its end.
type stepSweep struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepSweep) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	b := unpack(state)
	if b.config.Sweep.False() {
		return multistep.ActionContinue
	}
	b.swept = make(chan struct{})
	go func() {
		defer close(b.swept)
		own, cancel := context.WithTimeoutCause(ctx, sweepTimeout, errors.New("the sweep takes too long; the next one goes on"))
		defer cancel()
		s := b.sweep(own)
		if text := s.complaint(); text != "" && ctx.Err() == nil {
			b.warn("%s", text)
		}
		if len(s.kept) > 0 {
			b.say("Images of killed bakes are there that never got all they were to have: %s", strings.Join(s.kept, ", "))
		}
	}()
	return multistep.ActionContinue
}

// awaitSweep waits until the sweep has ended.
func (b *bake) awaitSweep() {
	if b.swept != nil {
		<-b.swept
	}
}

// stepSweepOnly is all that a source with sweep_only does.
type stepSweepOnly struct{ nothingToUndo }

// Run implements multistep.Step.
func (*stepSweepOnly) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	return step(ctx, state, phaseCleanup, func(ctx context.Context, b *bake) error {
		s := b.sweep(ctx)
		if len(s.removed) == 0 {
			b.say("Nothing of bakes has expired")
		}
		for _, image := range s.kept {
			b.say("Kept: %s", image)
		}
		return errors.Join(s.errs...)
	})
}

// sweeping is one sweep, and what came of it.
type sweeping struct {
	*bake

	mu      sync.Mutex
	removed []string
	kept    []string // images that are available although they have expired
	errs    []error
}

// sweep removes all that has expired, everywhere at the same time. Where nothing has, it costs one call for each region, two
// for staging and one for roles.
func (b *bake) sweep(ctx context.Context) *sweeping {
	s := &sweeping{bake: b}
	var all sync.WaitGroup
	begin := func(sweep func(context.Context) error) {
		all.Go(func() {
			if err := sweep(ctx); err != nil {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.errs = append(s.errs, err)
			}
		})
	}
	home := b.aws.config.Region
	for _, region := range append([]string{home}, b.config.otherRegions(home)...) {
		begin(func(ctx context.Context) error { return s.sweepRegion(ctx, region, b.sweepIn(region)) })
	}
	if !b.clock.known.Load() { // with skip_credential_validation, EC2 is the first to tell the time
		all.Wait()
	}
	if b.store != nil {
		begin(s.sweepStaging)
	}
	if b.config.TemporaryProfilePolicy != nil || b.config.SweepOnly {
		begin(s.sweepRoles)
	}
	all.Wait()
	return s
}

// sweepIn is the EC2 of a region.
func (b *bake) sweepIn(region string) sweepAPI {
	if region == b.aws.config.Region {
		return b.aws.ec2
	}
	cfg := b.aws.config.Copy()
	cfg.Region = region
	return bindEC2(awsconfig.EC2(cfg, &b.config.Settings))
}

// over tells whether what expires then may be removed now. By AWS's clock only: this computer's may be hours ahead.
func (s *sweeping) over(expires time.Time) bool {
	return s.clock.known.Load() && s.now().After(expires.Add(sweepMargin))
}

// did tells of something that was removed.
func (s *sweeping) did(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	what := fmt.Sprintf(format, args...)
	s.removed = append(s.removed, what)
	s.say("Swept %s, which a killed bake had left", what)
}

// complaint is the one warning of a sweep that has failed, or "".
func (s *sweeping) complaint() string {
	var rights []string
	var others []error
	for _, err := range s.errs {
		switch right := missingRight(err); {
		case slices.Contains(rights, right): // of another region
		case right != "":
			rights = append(rights, right)
		case !hasCode(err, "NoSuchBucket", "PermanentRedirect"): // of which the bake tells itself
			others = append(others, err)
		}
	}
	var text []string
	if len(rights) > 0 {
		text = append(text, fmt.Sprintf("what killed bakes have left cannot be swept without the right to %s, which docs/iam/sweep.json "+
			"gives; sweep = false leaves it", strings.Join(rights, " and ")))
	}
	if err := errors.Join(others...); err != nil {
		text = append(text, "sweeping what killed bakes have left: "+err.Error())
	}
	return strings.Join(text, "\n")
}

// rightOf are the rights that are not called as the call they are for.
var rightOf = map[string]string{
	"s3:ListObjectsV2": "s3:ListBucket", "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
}

// missingRight is the right that AWS refused a call for the lack of, or "" when it was not that.
func missingRight(err error) string {
	operation, ok := errors.AsType[*smithy.OperationError](err)
	if !ok || !hasCode(err, "UnauthorizedOperation", "AccessDenied", "AccessDeniedException") {
		return ""
	}
	right := strings.ToLower(operation.ServiceID) + ":" + operation.OperationName
	if other := rightOf[right]; other != "" {
		return other
	}
	return right
}
