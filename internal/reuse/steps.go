// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package reuse

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/amibakery/packer-plugin-bakery/internal/recorder"
)

// StepDigest is what one step of the provisioners does, or what all steps from maxSteps on do.
type StepDigest struct {
	Name   string
	Digest string // see SlowDigest
}

// maxSteps is how many digests of steps there are at most. A tag has 256 characters, so there is no room for many more.
const maxSteps = 24

// StepDigests returns digests of what the provisioners do as user. They go into tags, and what a provisioner does may
// hold a short secret, which anybody could find from a plain digest by trying all.
func StepDigests(log *recorder.Log, user string) ([]StepDigest, error) {
	var all []StepDigest
	var rest []byte
	for i, p := range log.Provisioners {
		sum, err := log.Digest(p)
		if err != nil {
			return nil, err
		}
		if i >= maxSteps-1 {
			rest = append(rest, sum[:]...)
			continue
		}
		// A joined Image-Source takes place between the steps.
		joins := slices.ContainsFunc(log.Joined, func(j recorder.Join) bool { return j.After == i })
		digest, err := SlowDigest(fmt.Appendf(sum[:], "%s %v", user, joins))
		if err != nil {
			return nil, err
		}
		all = append(all, StepDigest{p.Name, digest})
	}
	if rest == nil {
		return all, nil
	}
	joins := make([]int, 0, len(log.Joined))
	for _, j := range log.Joined {
		joins = append(joins, j.After)
	}
	digest, err := SlowDigest(fmt.Appendf(rest, "%s %v", user, joins))
	return append(all, StepDigest{fmt.Sprintf("provisioner steps from %d on", maxSteps), digest}), err
}

// SlowDigest returns a digest, in hex, that takes milliseconds to compute, so trying a million passwords takes hours.
// Every digest of what a template says that others may read is one: in tags, names of objects and labels.
func SlowDigest(content []byte) (string, error) {
	const rounds = 1 << 15
	key, err := pbkdf2.Key(sha256.New, hex.EncodeToString(content), []byte("bakery:inputs"), rounds, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("make a digest of the inputs: %w", err)
	}
	return hex.EncodeToString(key), nil
}
