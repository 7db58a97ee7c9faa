// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

// signedMargin is how long a signed URL outlives instance_timeout: from the signing until the machine has booted, and for
// clocks that differ.
const signedMargin = 10 * time.Minute

// bootTime is how long user data that is staged can be fetched: cloud-init does so once, when the machine has its network.
// Machines of metal take up to a quarter of an hour until then, and AWS may have no room for the first offers.
const bootTime = 30 * time.Minute

// The names of what only one bake uses, below the prefix and the folder of the bake.
const (
	userDataKey = "user-data"
	logKey      = "log.gz"
)

// userData is the user data to launch with: all of it, or a pointer to where it is staged when it is too large.
func (b *bake) userData(ctx context.Context) ([]byte, error) {
	at, err := b.sign(ctx)
	if err != nil {
		return nil, err
	}
	userData, err := b.assemble(at)
	if err != nil {
		return nil, err
	}
	if len(userData) <= guest.MaxUserData {
		return userData, nil
	}
	if b.store == nil {
		return nil, b.checkSize()
	}
	return b.stageUserData(ctx, userData)
}

// urls are where the machine fetches fs/ and the recorded provisioners from, and uploads its log to. What is not staged is
// empty.
type urls struct {
	fs, recording string
	log           staging.Upload
}

// sign makes the URLs.
func (b *bake) sign(ctx context.Context) (at urls, err error) {
	if b.store == nil || b.payload.document == nil {
		return at, nil
	}
	b.warnOfExpiry(ctx)
	if at.fs, err = b.signFile(ctx, b.payload.fs, b.fsKey); err != nil {
		return at, err
	}
	if at.recording, err = b.signFile(ctx, b.payload.recording.file, b.payload.recording.key); err != nil {
		return at, err
	}
	key := b.logKey()
	if at.log, err = b.store.PutURL(ctx, key, b.signedFor()); err != nil {
		return at, err
	}
	if !b.config.Staging.KeepLog {
		b.noteObject(key)
	}
	hide(at.fs, at.recording, at.log.URL)
	return at, nil
}

// signFile is the URL of a staged file, if it is one.
func (b *bake) signFile(ctx context.Context, file bundle.File, key string) (string, error) {
	switch {
	case file.Path == "":
		return "", nil
	case b.config.Staging.Delivery == deliveryProfile:
		return b.store.PlainURL(ctx, key)
	}
	return b.store.GetURL(ctx, key, b.signedFor())
}

// stageUserData uploads user data that EC2 would not take, and returns user data that includes it.
func (b *bake) stageUserData(ctx context.Context, userData []byte) ([]byte, error) {
	sum := sha256.Sum256(userData)
	object := staging.Object{
		Key: b.store.Key(b.folder(), userDataKey), SHA256: hex.EncodeToString(sum[:]), Size: int64(len(userData)),
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(userData)), nil },
	}
	b.say("Uploading the user data, which is %d bytes where EC2 takes %d, to %s...",
		len(userData), guest.MaxUserData, b.store.URL(object.Key))
	b.noteObject(object.Key)
	if err := b.store.Put(ctx, object); err != nil {
		return nil, err
	}
	url, err := b.store.GetURL(ctx, object.Key, min(b.signedFor(), bootTime))
	if err != nil {
		return nil, err
	}
	hide(url)
	return guest.Include(guest.Included{
		URL: url, SHA256: object.SHA256, BakeID: b.id, StayOn: b.config.Verdict == verdictStop,
	})
}

// logKey is where the machine of this attempt uploads its log.
func (b *bake) logKey() string {
	name := logKey
	if b.machine.attempt > 1 {
		name = fmt.Sprintf("%d-%s", b.machine.attempt, logKey)
	}
	if b.config.Staging.KeepLog {
		return b.store.Key("logs", b.id, name)
	}
	return b.store.Key(b.folder(), name)
}

// folder is where below the prefix is what only this bake uses. Its name says when it expires.
func (b *bake) folder() string {
	if b.staged == "" {
		b.staged = expiringName(b.stagingExpiry(), b.id)
	}
	return b.staged
}

// signedFor is how long signed URLs last.
func (b *bake) signedFor() time.Duration {
	return min(b.config.InstanceTimeout+signedMargin, staging.MaxExpiry)
}

// warnOfExpiry tells when the credentials end before the URLs that are signed with them: those end with them.
func (b *bake) warnOfExpiry(ctx context.Context) {
	credentials, err := b.aws.config.Credentials.Retrieve(ctx)
	if err != nil || !credentials.CanExpire {
		return
	}
	if left := time.Until(credentials.Expires); left < b.signedFor() {
		b.warn("%s", fmt.Sprintf("the AWS credentials expire in %s, and the machine's URLs with them, but the machine may take %s: "+
			"one that takes longer can neither fetch files nor upload its log", left.Round(time.Second), b.config.InstanceTimeout))
	}
}
