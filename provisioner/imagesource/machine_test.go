// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import "testing"

// A machine may print without end where it is asked something.
func TestOutputThatIsKeptIsBounded(t *testing.T) {
	var b boundedBuffer
	for range 100 {
		if n, err := b.Write(make([]byte, 100_000)); n != 100_000 || err != nil {
			t.Fatal(n, err)
		}
	}
	if b.Len() != 1<<20 {
		t.Errorf("%d bytes are kept", b.Len())
	}
}
