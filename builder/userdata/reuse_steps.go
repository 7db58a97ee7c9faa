// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"github.com/amibakery/packer-plugin-bakery/internal/recorder"
)

// stepDigest is one step of the provisioners, or all those that are too many to be told apart.
type stepDigest struct {
	name   string
	digest string // stretched
}

// toldApart is how many steps of provisioners have digests of their own: with a tag's 256 characters, there is no room for
// many more.
const toldApart = 24

// takeSteps makes digests of what the provisioners do. Theirs are in tags, and what they do may hold a short secret, which
// could be found from a plain digest by trying: so they are stretched.
func takeSteps(log *recorder.Log, user string) ([]stepDigest, error) {
	var all []stepDigest
	var rest []byte
	for i, p := range log.Provisioners {
		sum, err := log.Digest(p)
		if err != nil {
			return nil, err
		}
		if i >= toldApart-1 {
			rest = append(rest, sum[:]...)
			continue
		}
		// A joined Image-Source takes place between the steps.
		at := slices.ContainsFunc(log.Joined, func(j recorder.Join) bool { return j.After == i })
		digest, err := stretch(fmt.Appendf(sum[:], "%s %v", user, at))
		if err != nil {
			return nil, err
		}
		all = append(all, stepDigest{p.Name, digest})
	}
	if rest == nil {
		return all, nil
	}
	joins := make([]int, 0, len(log.Joined))
	for _, j := range log.Joined {
		joins = append(joins, j.After)
	}
	digest, err := stretch(fmt.Appendf(rest, "%s %v", user, joins))
	return append(all, stepDigest{fmt.Sprintf("provisioner steps from %d on", toldApart), digest}), err
}

// stretch is a digest that takes milliseconds: whoever tries a million passwords takes hours.
func stretch(content []byte) (string, error) {
	const rounds = 1 << 15
	key, err := pbkdf2.Key(sha256.New, hex.EncodeToString(content), []byte("bakery:inputs"), rounds, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("make a digest of the provisioners: %w", err)
	}
	return hex.EncodeToString(key), nil
}
