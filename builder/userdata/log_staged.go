// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"compress/gzip"
	"context"
	"errors"
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
	unzipped, err := unzip(object, logLimit)
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
	unzipped, err := unzip(object, logLimit)
	if err != nil {
		_ = object.Close()
		return nil
	}
	return struct {
		io.Reader
		io.Closer
	}{unzipped, object}
}

// logLimit is the most that is read of a log, unzipped: a machine can put a terabyte of nothing into the object it may
// write. No bake prints as much.
const logLimit = 1 << 30

// unzip reads no more than limit bytes of what is compressed, and then says so.
func unzip(compressed io.Reader, limit int64) (io.Reader, error) {
	unzipped, err := gzip.NewReader(compressed)
	if err != nil {
		return nil, err
	}
	return &bounded{unzipped, limit}, nil
}

var errEndlessLog = errors.New("the log is longer than a log is")

type bounded struct {
	from io.Reader
	left int64
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errEndlessLog
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
