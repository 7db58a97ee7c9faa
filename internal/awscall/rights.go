// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awscall

import (
	"slices"
	"sync"

	"github.com/amibakery/packer-plugin-bakery/internal/awserror"
)

// MissingRight returns the right without which AWS refused a call, such as s3:ListBucket, or "" when a call failed for
// another reason.
func MissingRight(err error) string { return awserror.MissingRight(err) }

// Unseen are the rights without which a bake could not look at something that it can do without, until it fails. The
// zero value is none. Safe for use by several goroutines.
type Unseen struct {
	mu     sync.Mutex
	rights []string
}

// Add adds a right.
func (u *Unseen) Add(right string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !slices.Contains(u.rights, right) {
		u.rights = append(u.rights, right)
	}
}

// Ignore returns nil for the error of a call for which a right is missing, and adds that right. It returns every other
// error.
func (u *Unseen) Ignore(err error) error {
	right := MissingRight(err)
	if right == "" {
		return err
	}
	u.Add(right)
	return nil
}

// Rights returns the rights, sorted.
func (u *Unseen) Rights() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Sorted(slices.Values(u.rights))
}
