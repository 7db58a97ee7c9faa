// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"compress/gzip"
	"context"
	"io"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// readStagedLog reads the log that the machine has put into S3, when it is another than last time: its end while the
// machine works, all of it in the end. What could be read of one that is cut off is still worth reading.
func (b *bake) readStagedLog(ctx context.Context) []guest.Report {
	if b.store == nil || b.payload.document == nil {
		return nil
	}
	ctx, cancel := glance(ctx)
	defer cancel()
	l := b.live()
	object, version, err := b.store.OpenNewer(ctx, b.logKey(), l.version)
	l.unread = err
	if err != nil || object == nil {
		return nil
	}
	defer object.Close()
	unzipped, err := gzip.NewReader(object)
	if err != nil {
		return nil
	}
	lines, reports, err := guest.ReadLog(unzipped, b.id)
	if err == nil {
		l.version = version
	}
	l.add(lines)
	return reports
}

// openStagedLog is all of the log in S3, or nil.
func (b *bake) openStagedLog(ctx context.Context) io.ReadCloser {
	if b.store == nil || b.payload.document == nil || b.machine.id == "" {
		return nil
	}
	object, err := b.store.Open(ctx, b.logKey())
	if err != nil || object == nil {
		return nil
	}
	unzipped, err := gzip.NewReader(object)
	if err != nil {
		_ = object.Close()
		return nil
	}
	return struct {
		io.Reader
		io.Closer
	}{unzipped, object}
}
