// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"fmt"
	"io"

	"github.com/foobaz/go-zopfli/zopfli"
	"github.com/klauspost/compress/gzip" // 1 % smaller than the standard library's
)

// maxDocument bounds what Decompress returns. cloud-init reads the document into memory, on a machine that may have
// only 512 MiB.
const maxDocument = 64 << 20

// Compress makes user data of a document: gzip at the highest level, the same bytes every time. This gzip leaves more
// room than that of the standard library: 1 % of what EC2 takes. Where that is not quite enough, zopfli, which takes a
// hundred times as long, leaves 3 % more.
func Compress(document []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	_, _ = w.Write(document) // a bytes.Buffer returns no error
	_ = w.Close()
	if over := b.Len() - MaxUserData; -tight < over && over < MaxUserData/zopfliGain {
		if more := compressMore(document); more != nil {
			return more
		}
	}
	return b.Bytes()
}

const (
	// tight is how little room user data may leave without being compressed more.
	tight = 64
	// zopfliGain is the most that zopfli gains: one byte of so many.
	zopfliGain = 20
)

// compressMore compresses with zopfli. It returns nil when the result cannot be read again.
func compressMore(document []byte) []byte {
	options := zopfli.DefaultOptions()
	var b bytes.Buffer
	if zopfli.GzipCompress(&options, document, &b) != nil {
		return nil
	}
	if again, err := Decompress(b.Bytes()); err != nil || !bytes.Equal(again, document) {
		return nil
	}
	return b.Bytes()
}

// Decompress returns the document in user data that may be compressed.
func Decompress(userData []byte) ([]byte, error) {
	if !bytes.HasPrefix(userData, []byte{0x1f, 0x8b}) {
		return userData, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(userData))
	if err != nil {
		return nil, fmt.Errorf("decompressing user data: %w", err)
	}
	document, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("decompressing user data: %w", err)
	}
	if len(document) > maxDocument {
		return nil, fmt.Errorf("decompressing user data: the result is larger than %d bytes", maxDocument)
	}
	return document, nil
}
