// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sweep

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

// Result is what a sweep did.
type Result struct {
	// Removed is what was removed, in words.
	Removed []string
	// Kept are the images that have expired but are available, in words. A person has to decide about them.
	Kept []string
	// Errs are why things could not be removed, at most one for each region, one for staging and one for roles.
	Errs []error
}

// join returns the results of the parts of a sweep as one.
func join(parts []*Result) *Result {
	all := new(Result)
	for _, part := range parts {
		all.Removed = append(all.Removed, part.Removed...)
		all.Kept = append(all.Kept, part.Kept...)
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
		case !awscall.HasCode(err, "NoSuchBucket", "PermanentRedirect"): // which the bake itself reports
			others = append(others, err)
		}
	}
	var text []string
	if len(rights) > 0 {
		text = append(text, fmt.Sprintf("what killed bakes have left cannot be swept without the right to %s, which "+
			"docs/iam/sweep.json gives; sweep = false leaves it", strings.Join(rights, " and ")))
	}
	if err := errors.Join(others...); err != nil {
		text = append(text, "sweeping what killed bakes have left: "+err.Error())
	}
	return strings.Join(text, "\n")
}

// renamedRights are the rights that have another name than the call they allow.
var renamedRights = map[string]string{
	"s3:ListObjectsV2": "s3:ListBucket", "s3:ListMultipartUploads": "s3:ListBucketMultipartUploads",
}

// missingRight returns the right without which AWS refused a call, or "" when a call failed for another reason.
func missingRight(err error) string {
	operation, ok := errors.AsType[*smithy.OperationError](err)
	if !ok || !awscall.HasCode(err, "UnauthorizedOperation", "AccessDenied", "AccessDeniedException") {
		return ""
	}
	right := strings.ToLower(operation.ServiceID) + ":" + operation.OperationName
	if other := renamedRights[right]; other != "" {
		return other
	}
	return right
}
