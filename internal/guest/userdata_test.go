// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import "testing"

func TestDecompressIsBounded(t *testing.T) {
	if _, err := Decompress(Compress(make([]byte, maxDocument+1))); err == nil {
		t.Error("a bomb was unpacked")
	}
	if _, err := Decompress([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xffxxxxxxxx")); err == nil {
		t.Error("a broken gzip was unpacked")
	}
	got, err := Decompress(Compress([]byte("text")))
	if err != nil || string(got) != "text" {
		t.Errorf("got %q, %v", got, err)
	}
}
