// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machinelog

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

// Staged is the log that a machine puts into S3: the end of it while the machine works, all of it at the end.
type Staged struct {
	Store *staging.Store
	Key   string
	Live  bool // lines are read from it while the machine works
	// Commitment is the key of the machine's commitment, which it puts there once.
	Commitment string
}

// readNewer reads a log that is another version than the one seen before. What could be read of a log that is cut off
// is returned as well; its version is then the one seen before, so that it is read again.
func (s *Staged) readNewer(
	ctx context.Context, r guest.Reader, seen string,
) ([]guest.Lines, []guest.Report, string, error) {
	ctx, cancel := awscall.WithCallTimeout(ctx)
	defer cancel()
	object, version, err := s.Store.OpenNewer(ctx, s.Key, seen)
	if err != nil || object == nil {
		return nil, nil, seen, err
	}
	defer object.Close()
	unzipped, err := unzip(object, logLimit)
	if err != nil {
		return nil, nil, seen, nil // the machine is writing it
	}
	lines, reports, err := guest.ReadLog(ctx, unzipped, r)
	if err != nil {
		version = seen
	}
	return lines, reports, version, nil // it is read again
}

// readCommitment returns the machine's first report, with its commitment; none while it is not there.
func (s *Staged) readCommitment(ctx context.Context, r guest.Reader) ([]guest.Report, error) {
	ctx, cancel := awscall.WithCallTimeout(ctx)
	defer cancel()
	object, err := s.Store.Open(ctx, s.Commitment)
	if err != nil || object == nil {
		return nil, err
	}
	defer object.Close()
	const limit = 4096 // a report has a tenth of it
	text, err := io.ReadAll(io.LimitReader(object, limit))
	if err != nil {
		return nil, fmt.Errorf("read the commitment of the machine: %w", err)
	}
	return r.Reports(text), nil
}

// open returns all of the log, unzipped, or nil when there is none.
func (s *Staged) open(ctx context.Context) io.ReadCloser {
	object, err := s.Store.Open(ctx, s.Key)
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

// logLimit is the most that is read of a log, unzipped: a machine can put a terabyte of zeros into the object that it
// may write. No bake prints as much.
const logLimit = 1 << 30

// unzip returns a reader of compressed content that fails after limit bytes.
func unzip(compressed io.Reader, limit int64) (io.Reader, error) {
	unzipped, err := gzip.NewReader(compressed)
	if err != nil {
		return nil, err
	}
	return &boundedReader{unzipped, limit}, nil
}

var errLogTooLong = errors.New("the log is longer than a log is")

type boundedReader struct {
	from io.Reader
	left int64
}

// Read implements io.Reader.
func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLogTooLong
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
