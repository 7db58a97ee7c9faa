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
// data is the document itself, or a program that fetches what is staged when it is too large.
func launchUserData(ctx context.Context, b *build, attempt int) ([]byte, *machinelog.Log, error) {
	urls, staged, err := signURLs(ctx, b, attempt)
	if err != nil {
		return nil, nil, err
	}
	launch := guest.Launch{
		Reader:    guest.Reader{BakeID: b.ID, Key: b.log.newReportKey()}, // of this machine alone
		CommitURL: urls.commitment.URL, CommitHeaders: urls.commitment.Headers,
	}
	userData, err := assembleUserData(b, launch, urls)
	if err != nil {
		return nil, nil, err
	}
	if len(userData) > guest.MaxUserData {
		if userData, err = stageUserData(ctx, b, launch, urls); err != nil {
			return nil, nil, err
		}
	}
	return userData, machinelog.New(b.Bake, launch.Reader, b.log.key, b.log.record, staged), nil
}

// stageUserData uploads what EC2 would not take as user data, and returns user data that fetches it.
func stageUserData(ctx context.Context, b *build, launch guest.Launch, urls stagedURLs) ([]byte, error) {
	if b.stage == nil {
		return nil, checkSize(b)
	}
	content, err := stagedContent(b, urls)
	if err != nil {
		return nil, err
	}
	with := " with the program that runs the bake,"
	if b.payload.verbatim != nil {
		with = ""
	}
	from, err := b.stage.putUserData(ctx, content, with, b.config.InstanceTimeout)
	if err != nil {
		return nil, err
	}
	from.Limit = instance.MachineTimeout(b.config.InstanceTimeout)
	if b.config.Verdict == setting.VerdictStop {
		from.StayOn, from.Limit = true, instance.AbandonedAfter(b.config.InstanceTimeout)
	}
	return guest.Fetch(launch, from)
}

// stagedContent returns what the machine is to fetch and run.
func stagedContent(b *build, urls stagedURLs) ([]byte, error) {
	if b.payload.verbatim != nil {
		return guest.StageVerbatim(b.payload.verbatim)
	}
	return guest.Stage(b.payload.document, delivery(b, urls, true))
}

// stagedURLs are where the machine fetches fs/ and the recorded provisioners from, and uploads its log to. What is not
// staged is empty.
type stagedURLs struct {
	fs, recording string
	// log is uploaded again and again, commitment once.
	log, commitment staging.Upload
}

// signURLs signs the URLs of an attempt, and returns where its machine puts its log.
func signURLs(ctx context.Context, b *build, attempt int) (urls stagedURLs, log *machinelog.Staged, err error) {
	if b.stage == nil || b.payload.document == nil {
		return urls, nil, nil
	}
	lasts := signedFor(b.config.InstanceTimeout)
	if err := b.stage.credentials.check(ctx, lasts); err != nil {
		return urls, nil, err
	}
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
	b.stage.addLogToLedger(key)
	commitment := b.stage.newCommitmentKey()
	if urls.commitment, err = b.stage.PutOnceURL(ctx, commitment, lasts); err != nil {
		return urls, nil, err
	}
	b.stage.addToLedger(commitment)
	redact.Add(urls.fs, urls.recording, urls.log.URL, urls.commitment.URL)
	live := b.config.Way(true) == guest.ByStore
	return urls, &machinelog.Staged{Store: b.stage.Store, Key: key, Commitment: commitment, Live: live}, nil
}

// assembleUserData makes the user data of the payload and of what is only known at the launch. URLs that are not needed
// are empty. Where the user data has no room for the program that sends lines, that is left out with a warning.
func assembleUserData(b *build, launch guest.Launch, urls stagedURLs) ([]byte, error) {
	if b.payload.verbatim != nil {
		return b.payload.verbatim, nil
	}
	userData, err := deliver(b, launch, delivery(b, urls, !b.payload.withoutLines))
	fits := len(userData) <= guest.MaxUserData
	if err != nil || b.payload.withoutLines || b.config.Staging != nil || fits {
		return userData, err
	}
	small, err := deliver(b, launch, delivery(b, urls, false))
	if err != nil || len(small) > guest.MaxUserData {
		return userData, err
	}
	b.payload.withoutLines = true
	b.Warn("the user data has no room left for the program that sends the lines of the machine: only its steps are " +
		"shown; set staging to see the lines")
	return small, nil
}

// delivery returns what is only known at the launch, with the program that sends lines or without.
func delivery(b *build, urls stagedURLs, lines bool) guest.Delivery {
	c := b.config
	d := guest.Delivery{
		Timeout:     instance.MachineTimeout(c.InstanceTimeout),
		FSURL:       urls.fs,
		LogURL:      urls.log.URL,
		LogHeaders:  urls.log.Headers,
		KeyPair:     c.KeyName != "",
		SkipCleanup: slices.Clone(c.SkipCleanup), WipeFreeSpace: c.WipeFreeSpace,
		IgnoreFailures: slices.Clone(c.IgnoreFailures),

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
	return d
}

func deliver(b *build, launch guest.Launch, d guest.Delivery) ([]byte, error) {
	document, err := guest.Deliver(b.payload.document, launch, d)
	if err != nil {
		return nil, fmt.Errorf("assemble the user data: %w", err)
	}
	return guest.Compress(document), nil
}
