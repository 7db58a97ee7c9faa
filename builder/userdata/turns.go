// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// turns are moments, one every turnInterval, that the bakes of this computer take one each, when AWS has throttled them.
// Packer runs every builder in a process of its own, and nothing else tells these of each other. A turn is a file named by
// its moment; who creates it has it, so there is no lock to be left behind, and a turn that is not used is merely lost.
type turns struct{ dir string }

// turnInterval is how often EC2 lets an account run machines when it has used up its burst of five, by its documentation:
// https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html.
const turnInterval = time.Second / 2

// launchTurns are those of the launches in an account and a region.
func launchTurns(cfg aws.Config, account string) turns {
	sum := sha256.Sum256([]byte(account + "\n" + cfg.Region + "\n" + aws.ToString(cfg.BaseEndpoint)))
	path, err := packersdk.CachePath("bakery-launches-" + hex.EncodeToString(sum[:8]))
	if err != nil {
		return turns{} // everybody for himself
	}
	return turns{dir: path}
}

// take takes the first turn after a moment that nobody has, and returns when it is. Where no file can be made, that is
// anybody's guess.
func (t turns) take(after time.Time) time.Time {
	_ = os.MkdirAll(t.dir, 0o700) // else no file can be made in it
	t.forget(after)
	for n := after.UnixMilli()/turnInterval.Milliseconds() + 1; ; n++ {
		err := t.create(n)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		// Somewhere in it, as other computers have turns at the same moments.
		return time.UnixMilli(n * turnInterval.Milliseconds()).Add(rand.N(turnInterval)) //nolint:gosec // only spreads calls
	}
}

func (t turns) create(n int64) error {
	if t.dir == "" {
		return fs.ErrNotExist
	}
	f, err := os.OpenFile(filepath.Join(t.dir, strconv.FormatInt(n, 10)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// taken tells whether anybody waits for a turn after a moment.
func (t turns) taken(after time.Time) bool {
	for _, n := range t.list() {
		if time.UnixMilli(n * turnInterval.Milliseconds()).After(after) {
			return true
		}
	}
	return false
}

// forget removes turns that are long over.
func (t turns) forget(now time.Time) {
	const old = time.Minute
	for _, n := range t.list() {
		if now.Sub(time.UnixMilli(n*turnInterval.Milliseconds())) > old {
			_ = os.Remove(filepath.Join(t.dir, strconv.FormatInt(n, 10)))
		}
	}
}

func (t turns) list() []int64 {
	entries, _ := os.ReadDir(t.dir) // nobody waits where nothing can be read
	var all []int64
	for _, e := range entries {
		if n, err := strconv.ParseInt(e.Name(), 10, 64); err == nil {
			all = append(all, n)
		}
	}
	return all
}
