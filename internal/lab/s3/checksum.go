// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package s3

import (
	"crypto/sha1" //nolint:gosec // one of the checksums S3 offers
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/rclone/gofakes3"
)

// algorithms are the checksums that the lab verifies, by header.
var algorithms = map[string]func() hash.Hash{
	"X-Amz-Checksum-Crc32":  func() hash.Hash { return crc32.NewIEEE() },
	"X-Amz-Checksum-Crc32c": func() hash.Hash { return crc32.New(crc32.MakeTable(crc32.Castagnoli)) },
	"X-Amz-Checksum-Sha1":   sha1.New,
	"X-Amz-Checksum-Sha256": sha256.New,
}

func isChecksum(header string) bool { return algorithms[header] != nil }

type check struct {
	name string
	want string // hexadecimal
	sum  hash.Hash
}

type checks []check

// checksums returns the checks of an upload's checksums, with the signed one.
func checksums(meta map[string]string) checks {
	var all checks
	for header, algorithm := range algorithms {
		if v, ok := meta[header]; ok {
			b, _ := base64.StdEncoding.DecodeString(v) // invalid base64 matches nothing
			all = append(all, check{header, hex.EncodeToString(b), algorithm()})
		}
	}
	if v := meta["X-Amz-Content-Sha256"]; len(v) == hex.EncodedLen(sha256.Size) {
		all = append(all, check{"x-amz-content-sha256", v, sha256.New()})
	}
	return all
}

func (c checks) writers() []io.Writer {
	var all []io.Writer
	for _, one := range c {
		all = append(all, one.sum)
	}
	return all
}

func (c checks) verify() error {
	for _, one := range c {
		if got := hex.EncodeToString(one.sum.Sum(nil)); got != one.want {
			return gofakes3.ErrorMessage(gofakes3.ErrBadDigest,
				fmt.Sprintf("The %s you specified did not match the calculated checksum.", one.name))
		}
	}
	return nil
}
