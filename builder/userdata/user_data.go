// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"fmt"
	"slices"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/instance"
	"github.com/amibakery/packer-plugin-bakery/internal/machinelog"
	"github.com/amibakery/packer-plugin-bakery/internal/redact"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

// launchUserData returns the user data that an attempt is launched with, and the log that its machine writes. The user
// data is the document itself, or a pointer to where it is staged when it is too large.
func launchUserData(ctx context.Context, b *build, attempt int) ([]byte, *machinelog.Log, error) {
	urls, staged, err := signURLs(ctx, b, attempt)
	if err != nil {
		return nil, nil, err
	}
	userData, err := assembleUserData(b, urls)
	if err != nil {
		return nil, nil, err
	}
	if len(userData) > guest.MaxUserData {
		if b.stage == nil {
			return nil, nil, checkSize(b)
		}
		userData, err = b.stage.putUserData(ctx, userData, guest.Included{
			BakeID: b.ID, StayOn: b.config.Verdict == setting.VerdictStop,
		}, b.config.InstanceTimeout)
	}
	return userData, machinelog.New(b.Bake, b.log.key, b.log.record, staged), err
}

// stagedURLs are where the machine fetches fs/ and the recorded provisioners from, and uploads its log to. What is not
// staged is empty.
type stagedURLs struct {
	fs, recording string
	log           staging.Upload
}

// signURLs signs the URLs of an attempt, and returns where its machine puts its log.
func signURLs(ctx context.Context, b *build, attempt int) (urls stagedURLs, log *machinelog.Staged, err error) {
	if b.stage == nil || b.payload.document == nil {
		return urls, nil, nil
	}
	lasts := signedFor(b.config.InstanceTimeout)
	warnOfExpiry(ctx, b, lasts)
	if urls.fs, err = b.stage.fileURL(ctx, b.payload.fs, lasts); err != nil {
		return urls, nil, err
	}
	if urls.recording, err = b.stage.fileURL(ctx, b.payload.recording.archive, lasts); err != nil {
		return urls, nil, err
	}
	key := b.stage.logKey(attempt)
	if urls.log, err = b.stage.PutURL(ctx, key, lasts); err != nil {
		return urls, nil, err
	}
	if !b.config.Staging.KeepLog {
		b.stage.addToLedger(key)
	}
	redact.Add(urls.fs, urls.recording, urls.log.URL)
	live := b.config.Way(true) == guest.ByStore
	return urls, &machinelog.Staged{Store: b.stage.Store, Key: key, Live: live}, nil
}

// assembleUserData makes the user data of the payload and of what is only known at the launch. URLs that are not needed
// are empty. Where the user data has no room for the program that sends lines, that is left out with a warning.
func assembleUserData(b *build, urls stagedURLs) ([]byte, error) {
	if b.payload.verbatim != nil {
		return b.payload.verbatim, nil
	}
	userData, err := deliver(b, urls, !b.payload.withoutLines)
	fits := len(userData) <= guest.MaxUserData
	if err != nil || b.payload.withoutLines || b.config.Staging != nil || fits {
		return userData, err
	}
	small, err := deliver(b, urls, false)
	if err != nil || len(small) > guest.MaxUserData {
		return userData, err
	}
	b.payload.withoutLines = true
	b.Warn("the user data has no room left for the program that sends the lines of the machine: only its steps are " +
		"shown; set staging to see the lines")
	return small, nil
}

// deliver adds to the document what is only known at the launch, with the program that sends lines or without.
func deliver(b *build, urls stagedURLs, lines bool) ([]byte, error) {
	c := b.config
	d := guest.Delivery{
		BakeID:      b.ID,
		Timeout:     instance.MachineTimeout(c.InstanceTimeout),
		FSURL:       urls.fs,
		LogURL:      urls.log.URL,
		LogHeaders:  urls.log.Headers,
		SkipCleanup: slices.Clone(c.SkipCleanup), WipeFreeSpace: c.WipeFreeSpace,

		Recording: b.payload.recording.guest, RecordingURL: urls.recording,
	}
	if lines {
		d.Live, d.Key = c.Way(c.Staging != nil), &b.log.key
		if d.Live == guest.ByStore && d.LogURL == "" { // not signed yet
			d.Live = guest.ByConsole
		}
	}
	if c.Staging != nil && c.Staging.Delivery == deliveryProfile {
		d.Profile, d.Region = true, b.stage.Region()
	}
	document, err := guest.Deliver(b.payload.document, d)
	if err != nil {
		return nil, fmt.Errorf("assemble the user data: %w", err)
	}
	return guest.Compress(document), nil
}
