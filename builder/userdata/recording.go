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
	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/recorder"
)

// recordingName is the archive of what provisioners did, here and staged.
const recordingName = "provisioners.tgz"

// recording is what provisioners did, as it goes to the machine.
type recording struct {
	guest *guest.Recording // nil when they did nothing
	steps []stepDigest
	file  bundle.File // the archive, when it is staged; zero when it is inline
	key   string      // where it is staged
}

// takeRecording makes what provisioners did a part of the payload, by way of an archive at path.
func (b *bake) takeRecording(ctx context.Context, log *recorder.Log, path string) error {
	if err := b.joinSource(ctx, log.Joined); err != nil {
		return err
	}
	if len(log.Provisioners) == 0 {
		if !b.config.given() && len(log.Joined) == 0 {
			b.warn("there is nothing to bake, so the image will be a copy of its source: there is no image_source, bundle, " +
				"user_data_file or user_data, and no provisioner has recorded anything")
		}
		return b.checkSize()
	}
	steps, err := takeSteps(log, b.config.loginUser())
	if err != nil {
		return err
	}
	file, err := b.archiveRecording(ctx, log.Dir, path)
	if err != nil {
		return err
	}
	b.say("Recorded %s for user %s: %s and %s of %d bytes, compressed to %d bytes", counted(log.Count, "provisioner"),
		b.config.loginUser(), counted(log.Commands, "command"), counted(log.Files, "file"), log.Bytes, file.Size)
	b.payload.recording.steps = steps
	b.payload.recording.guest = order(log, b.config.loginUser())
	if err := b.placeRecording(file); err != nil {
		return err
	}
	return b.checkSize()
}

// counted is a number of things, in words: "1 file", "2 files".
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// order puts what was recorded before and after a joined Image-Source there, and everything after install.sh without one.
func order(log *recorder.Log, user string) *guest.Recording {
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

// joinSource compiles the Image-Source that a provisioner bakery-image-source has asked for.
func (b *bake) joinSource(ctx context.Context, joined []recorder.Join) error {
	for _, j := range joined { // the recorder takes one at most
		if err := b.compile(ctx, j.Options); err != nil {
			return err
		}
	}
	return nil
}

// archiveRecording writes the archive, and removes what it was made of.
func (b *bake) archiveRecording(ctx context.Context, dir, path string) (bundle.File, error) {
	f, err := os.Create(path)
	if err != nil {
		return bundle.File{}, fmt.Errorf("archive the recorded provisioners: %w", err)
	}
	buffered := bufio.NewWriterSize(f, 1<<20)
	summary, err := archive.Write(cancellable{ctx, buffered}, dir, nil)
	if err = errors.Join(err, buffered.Flush(), f.Close(), os.RemoveAll(dir)); err != nil {
		return bundle.File{}, fmt.Errorf("archive the recorded provisioners: %w", err)
	}
	return bundle.File{Path: path, SHA256: summary.SHA256, Size: summary.Size}, nil
}

// cancellable is a writer that fails as soon as its context has ended.
type cancellable struct {
	ctx context.Context
	io.Writer
}

func (w cancellable) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.Writer.Write(p)
}

// placeRecording decides how the archive travels. Without staging there is but one way, and checkSize says when that is
// too narrow.
func (b *bake) placeRecording(file bundle.File) error {
	r := &b.payload.recording
	if b.config.Staging != nil && file.Size > cmp.Or(b.config.FSInlineLimit, bundle.DefaultInlineLimit) {
		r.file = file
		r.guest.Files = guest.Files{SHA256: file.SHA256, Size: file.Size}
		return nil
	}
	if file.Size > guest.MaxUserData {
		return fmt.Errorf("what the provisioners upload and run is %d bytes compressed, and EC2 takes %d bytes of user data: set "+
			"staging { url = \"s3://bucket/prefix\" }, so that the machine fetches it from S3", file.Size, guest.MaxUserData)
	}
	content, err := os.ReadFile(file.Path)
	if err != nil {
		return fmt.Errorf("read the recorded provisioners: %w", err)
	}
	r.guest.Files = guest.Files{Inline: content}
	return nil
}
