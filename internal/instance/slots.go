// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

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

// LaunchSlots limits the rate of launches of all processes of this computer, once AWS has throttled one: each reserves
// a slot of time, and there is one every slotInterval. Packer runs every builder in a process of its own, so the slots
// are shared by files: a slot is a file named by its time, and whoever creates the file has the slot. No lock can be
// left behind, and a slot that is not used is merely lost. The zero value reserves nothing.
type LaunchSlots struct{ dir string }

// slotInterval is how often EC2 lets an account run machines when it has used up its burst of five, by its
// documentation: https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html.
const slotInterval = time.Second / 2

// NewLaunchSlots returns the slots of an account, in the region and at the endpoint of cfg.
func NewLaunchSlots(cfg aws.Config, account string) LaunchSlots {
	sum := sha256.Sum256([]byte(account + "\n" + cfg.Region + "\n" + aws.ToString(cfg.BaseEndpoint)))
	path, err := packersdk.CachePath("bakery-launches-" + hex.EncodeToString(sum[:8]))
	if err != nil {
		return LaunchSlots{} // the bakes of this computer do not take turns
	}
	return LaunchSlots{dir: path}
}

// reserve reserves the first free slot after a moment, and returns when it is. Where no file can be made, every slot is
// free.
func (s LaunchSlots) reserve(after time.Time) time.Time {
	_ = os.MkdirAll(s.dir, 0o700) // else no file can be made in it
	s.removeOld(after)
	for n := after.UnixMilli()/slotInterval.Milliseconds() + 1; ; n++ {
		err := s.create(n)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		// Somewhere within the slot, as other computers have slots at the same times.
		offset := rand.N(slotInterval) //nolint:gosec // only spreads calls
		return time.UnixMilli(n * slotInterval.Milliseconds()).Add(offset)
	}
}

func (s LaunchSlots) create(n int64) error {
	if s.dir == "" {
		return fs.ErrNotExist
	}
	f, err := os.OpenFile(filepath.Join(s.dir, strconv.FormatInt(n, 10)), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// isReserved reports whether anybody waits for a slot after a moment.
func (s LaunchSlots) isReserved(after time.Time) bool {
	for _, n := range s.list() {
		if time.UnixMilli(n * slotInterval.Milliseconds()).After(after) {
			return true
		}
	}
	return false
}

// removeOld removes slots that are long over.
func (s LaunchSlots) removeOld(now time.Time) {
	const old = time.Minute
	for _, n := range s.list() {
		if now.Sub(time.UnixMilli(n*slotInterval.Milliseconds())) > old {
			_ = os.Remove(filepath.Join(s.dir, strconv.FormatInt(n, 10)))
		}
	}
}

func (s LaunchSlots) list() []int64 {
	entries, _ := os.ReadDir(s.dir) // nobody waits where nothing can be read
	var all []int64
	for _, e := range entries {
		if n, err := strconv.ParseInt(e.Name(), 10, 64); err == nil {
			all = append(all, n)
		}
	}
	return all
}
