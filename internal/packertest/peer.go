// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package packertest

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// Peer returns an addition to Env with which packer also finds the real amazon-ebs, of the version pinned in
// tools/peer/go.mod. It builds it first, which takes minutes without a cache, unless make has already done so and has
// set BAKERY_BIN.
func Peer(tb testing.TB) string {
	tb.Helper()

	dir := filepath.Join(Built(tb).Dir, "peer", "plugins")
	if err := peerOnce(); err != nil {
		tb.Fatal(err)
	}
	if _, err := os.Stat(dir); err != nil {
		tb.Fatalf("find the real amazon-ebs: %v: run tools/peer/build.sh", err)
	}

	return "PACKER_PLUGIN_PATH=" + dir
}

var peerOnce = sync.OnceValue(func() error { return build(filepath.Join(Root(), "tools", "peer", "build.sh")) })
