// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/amibakery/packer-plugin-bakery/internal/timeless"
)

// inputs are what an image is made of, as far as two images are compared by it. All of it can be said aloud: what is not
// public by itself is a digest.
type inputs struct {
	name     string            // the form of the image's name; see package timeless
	source   string            // the id of the source image
	userData string            // sha256 of the user data with the guest program, without a delivery
	fs       string            // sha256 of fs/ when that is staged; it is part of the user data otherwise
	steps    []stepDigest      // what the provisioners do
	options  map[string]string // the sha256 of each setting that makes the image another one
}

// The numbers of hex digits in the tags that say what has changed. They are short so that they have room in a tag, and
// decide nothing: that is up to the digest of everything.
const (
	stepDigits   = 4
	optionDigits = 6
	inputDigits  = 16
)

// digest is that of all inputs.
func (in *inputs) digest() string {
	sum := sha256.New()
	fmt.Fprintf(sum, "bakery inputs 1\n%q\n%q\n%q\n%q\n", in.name, in.source, in.userData, in.fs)
	for _, s := range in.steps {
		fmt.Fprintf(sum, "step %s\n", s.digest)
	}
	for _, name := range slices.Sorted(maps.Keys(in.options)) {
		fmt.Fprintf(sum, "option %q %s\n", name, in.options[name])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// findInputs is called when everything is known that the image will be made of, and before anything is made.
func (b *bake) findInputs() error {
	options, err := b.imageOptions()
	if err != nil {
		return fmt.Errorf("find out what the image is made of: %w", err)
	}
	b.inputs = &inputs{
		name: timeless.Text(b.config.AMIName, b.id), source: aws.ToString(b.source.ImageId),
		userData: b.payload.digest(), fs: b.payload.fs.SHA256, steps: b.payload.recording.steps, options: options,
	}
	return nil
}

// digest is that of all the machine is told: what was written by hand is so with the guest program round it, which may be
// another one of the same user data.
func (p *payload) digest() string {
	if p.document == nil {
		return p.userDataSHA256
	}
	return sumOf(string(p.document))
}
