// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// payload is the file that is uploaded. It is read from the disk during the upload.
type payload struct {
	io.Reader
	size int64
	fs   *os.File // fs.tgz; nil when there is none
}

func newPayload(program guest.Live, fsPath string) (*payload, error) {
	p := &payload{size: int64(len(program.Head) + len(program.Tail))}
	parts := []io.Reader{bytes.NewReader(program.Head)}
	if fsPath != "" {
		var err error
		if p.fs, err = os.Open(fsPath); err != nil {
			return nil, err
		}
		info, err := p.fs.Stat()
		if err != nil {
			return nil, err
		}
		p.size += info.Size()
		parts = append(parts, p.fs)
	}
	p.Reader = io.MultiReader(append(parts, bytes.NewReader(program.Tail))...)
	return p, nil
}

// Close closes fs.tgz.
func (p *payload) Close() error {
	if p.fs == nil {
		return nil
	}
	file := p.fs
	p.fs = nil // the reader that shows the progress closes it as well
	return file.Close()
}

// fileInfo is the file information of the payload for communicators: its size, so that they need no copy to find it
// out, and a mode with which other users on the machine cannot read it.
type fileInfo struct {
	name string
	size int64
}

var _ fs.FileInfo = fileInfo{}

func (f fileInfo) Name() string     { return f.name }
func (f fileInfo) Size() int64      { return f.size }
func (fileInfo) Mode() fs.FileMode  { return 0o600 }
func (fileInfo) ModTime() time.Time { return time.Unix(0, 0) }
func (fileInfo) IsDir() bool        { return false }
func (fileInfo) Sys() any           { return nil }
