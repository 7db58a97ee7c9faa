// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sweep

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

// Result is what a sweep did.
type Result struct {
	// Removed is what was removed, in words.
	Removed []string
	// Kept are the images that have expired but are available, in words. A person has to decide about them.
	Kept []string
	// Unproven is what has expired tags of a bake and lacks the proof that the bake has made it, in words, with the
	// commands that remove it. Its bake was killed before it could tag it, or somebody has copied the tags.
	Unproven []string
	// Errs are why things could not be removed, at most one for each region, one for staging and one for roles.
	Errs []error
}

// join returns the results of the parts of a sweep as one.
func join(parts []*Result) *Result {
	all := new(Result)
	for _, part := range parts {
		all.Removed = append(all.Removed, part.Removed...)
		all.Kept = append(all.Kept, part.Kept...)
		all.Unproven = append(all.Unproven, part.Unproven...)
		all.Errs = append(all.Errs, part.Errs...)
	}
	return all
}

// Warning returns the text of the one warning about everything that failed, or "".
func (r *Result) Warning() string {
	var rights []string
	var others []error
	for _, err := range r.Errs {
		switch right := missingRight(err); {
		case slices.Contains(rights, right): // in another region
		case right != "":
			rights = append(rights, right)
		case awscall.HasCode(err, "NoSuchBucket", "PermanentRedirect") || errors.Is(err, staging.ErrWrongOwner):
			// which the bake itself reports
		default:
			others = append(others, err)
		}
	}
	var text []string
	if len(rights) > 0 {
		text = append(text, fmt.Sprintf("what killed bakes have left cannot be swept without the right to %s, which "+
			"the policies of docs/iam give; sweep = false leaves it", strings.Join(rights, " and ")))
	}
	if err := errors.Join(others...); err != nil {
		text = append(text, "sweeping what killed bakes have left: "+err.Error())
	}
	return strings.Join(text, "\n")
}

// missingRight returns the right without which AWS refused a call or a removal, or "" when it failed for another
// reason.
func missingRight(err error) string {
	if kept, ok := errors.AsType[*staging.VersionsKeptError](err); ok {
		return kept.Right
	}
	return awscall.MissingRight(err)
}
