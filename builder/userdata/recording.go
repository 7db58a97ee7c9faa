// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/amibakery/packer-plugin-bakery/internal/archive"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/recorder"
	"github.com/amibakery/packer-plugin-bakery/internal/redact"
	"github.com/amibakery/packer-plugin-bakery/internal/reuse"
)

// recording is what provisioners did, as it goes to the machine.
type recording struct {
	guest   *guest.Recording // nil when they did nothing
	steps   []reuse.StepDigest
	archive stagedFile // when it is staged; zero when it is inline
}

// addRecording makes what provisioners did a part of the payload, by way of an archive at path.
func addRecording(ctx context.Context, b *build, log *recorder.Log, path string) error {
	if err := compileJoined(ctx, b, log.Joined); err != nil {
		return err
	}
	warnOfNothing(b, log)
	if len(log.Provisioners) == 0 {
		return checkSize(b)
	}
	user := b.config.loginUser()
	steps, err := reuse.StepDigests(log, user)
	if err != nil {
		return err
	}
	file, err := archiveRecording(ctx, log.Dir, path)
	if err != nil {
		return err
	}
	b.Say("Recorded %s for user %s: %s and %s of %d bytes, compressed to %d bytes",
		bake.Count(log.Count, "provisioner"),
		user, bake.Count(log.Commands, "command"), bake.Count(log.Files, "file"), log.Bytes, file.Size)
	provisioners := orderProvisioners(log, user)
	provisioners.Accepts, provisioners.Facts = log.Accepts, log.Facts
	provisioners.Interface = b.config.SSHInterface
	b.payload.recording, err = newRecording(b.config, provisioners, steps, file)
	if err != nil {
		return err
	}
	return checkSize(b)
}

// warnOfNothing warns of provisioners that ran and recorded nothing, and when there is nothing to bake.
func warnOfNothing(b *build, log *recorder.Log) {
	for _, text := range log.Warnings {
		b.Warn("%s", text)
	}
	recordedNothing := len(log.Provisioners) == 0 && len(log.Joined) == 0
	if recordedNothing && log.Local > 0 {
		b.Warn("the template's provisioners recorded nothing for the machine: shell-local ran on this computer, " +
			"before there is a machine. What it does to a running machine, by Session Manager or SSH, is not in the " +
			"image: use shell and file blocks for that")
	}
	if recordedNothing && !b.config.isSet() {
		b.Warn("there is nothing to bake, so the image will be a copy of its source: there is no image_source, " +
			"bundle, user_data_file or user_data, and no provisioner has recorded anything")
	}
}

// orderProvisioners puts what was recorded before and after a joined Image-Source there; without one, everything runs
// after install.sh.
func orderProvisioners(log *recorder.Log, user string) *guest.Recording {
	all := make([]guest.Provisioner, len(log.Provisioners))
	for i, p := range log.Provisioners {
		all[i] = guest.Provisioner{Dir: p.Dir, Name: p.Name}
	}
	if len(log.Joined) == 0 {
		return &guest.Recording{Provisioners: all, User: user}
	}
	at := log.Joined[0].After
	return &guest.Recording{First: all[:at], Last: all[at:], User: user}
}

// compileJoined compiles the Image-Source that a provisioner bakery-image-source has asked for.
func compileJoined(ctx context.Context, b *build, joined []recorder.Join) (err error) {
	for _, j := range joined { // the recorder takes one at most
		redact.Add(redact.LinesOf(j.Secrets())...)
		b.payload, err = compile(ctx, b.Bake, func(target string) bundle.Options {
			o := j.Options(target)
			o.Ignored = b.config.IgnoreFailures
			return o
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// archiveRecording writes the archive, and removes what it was made of.
func archiveRecording(ctx context.Context, dir, path string) (bundle.File, error) {
	f, err := os.Create(path)
	if err != nil {
		return bundle.File{}, fmt.Errorf("archive the recorded provisioners: %w", err)
	}
	buffered := bufio.NewWriterSize(f, 1<<20)
	summary, err := archive.Write(cancellableWriter{ctx, buffered}, dir, nil)
	if err = errors.Join(err, buffered.Flush(), f.Close(), os.RemoveAll(dir)); err != nil {
		return bundle.File{}, fmt.Errorf("archive the recorded provisioners: %w", err)
	}
	return bundle.File{Path: path, SHA256: summary.SHA256, Size: summary.Size}, nil
}

// cancellableWriter is a writer that fails as soon as its context has ended.
type cancellableWriter struct {
	ctx context.Context
	io.Writer
}

func (w cancellableWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.Writer.Write(p)
}

// newRecording decides whether the archive travels inside the user data or is staged. Without staging, it has to fit
// in.
func newRecording(
	c *Config, provisioners *guest.Recording, steps []reuse.StepDigest, file bundle.File,
) (recording, error) {
	r := recording{guest: provisioners, steps: steps}
	if c.Staging != nil && file.Size > cmp.Or(c.FSInlineLimit, bundle.DefaultInlineLimit) {
		r.archive = stagedFile{File: file}
		r.guest.Files = guest.Files{SHA256: file.SHA256, Size: file.Size}
		return r, nil
	}
	if file.Size > guest.MaxUserData {
		return r, fmt.Errorf("what the provisioners upload and run is %d bytes compressed, and EC2 takes %d bytes of "+
			"user data: set staging { url = \"s3://bucket/prefix\" }, so that the machine fetches it from "+
			"S3", file.Size,
			guest.MaxUserData)
	}
	content, err := os.ReadFile(file.Path)
	if err != nil {
		return r, fmt.Errorf("read the recorded provisioners: %w", err)
	}
	r.guest.Files = guest.Files{Inline: content}
	return r, nil
}
