// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package reuse compares what an image is made of with what earlier images record in their tags, for reuse_unchanged.
//
// It knows images, their tags and the log of provisioners. It may not know how the inputs come to be, nor make or
// change anything in an account.
package reuse

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// Inputs is what an image is made of, as far as two images are compared by it. All of it may be printed: what is not
// public by itself is a SlowDigest.
type Inputs struct {
	Name     string            // the image's name without times and ids; see package timeless
	Source   string            // the id of the source image
	UserData string            // the digest of the user data with the guest program, without a delivery
	FS       string            // the digest of fs/ when that is staged; it is part of the user data otherwise
	Steps    []StepDigest      // what the provisioners do
	Options  map[string]string // the digest of each setting on which the image depends; see OptionDigests
}

// The numbers of hex digits in the tags that say what has changed. They are short so that all fit into a tag. They
// decide nothing: the digest of all inputs does.
const (
	stepDigits   = 4
	optionDigits = 6
	inputDigits  = 16
)

// Digest returns the digest of all inputs, in hex. Images with the same digest are the same.
func (in *Inputs) Digest() string {
	sum := sha256.New()
	fmt.Fprintf(sum, "bakery inputs 2\n%q\n%q\n%q\n%q\n", in.Name, in.Source, in.UserData, in.FS)
	for _, s := range in.Steps {
		fmt.Fprintf(sum, "step %s\n", s.Digest)
	}
	for _, name := range slices.Sorted(maps.Keys(in.Options)) {
		fmt.Fprintf(sum, "option %q %s\n", name, in.Options[name])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// SHA256 returns the SHA256 of a text, in hex.
func SHA256(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
