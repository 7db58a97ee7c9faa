// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package packertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Peer is an addition to Env with which packer also finds the real amazon-ebs, of the version pinned in
// tools/peer/go.mod, beside this plugin. It is built first, which takes minutes where nothing is cached, unless make
// has just done so, which it says by setting BAKERY_BIN.
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

var peerOnce = sync.OnceValue(func() error {
	if os.Getenv("BAKERY_BIN") != "" {
		return nil
	}
	unlock, err := lock(filepath.Join(Root(), "bin", ".lock"))
	if err != nil {
		return fmt.Errorf("lock bin: %w", err)
	}
	defer unlock()

	out, err := exec.CommandContext(context.Background(), filepath.Join(Root(), "tools", "peer", "build.sh")).CombinedOutput()
	if err != nil {
		return fmt.Errorf("tools/peer/build.sh: %w\n%s", err, out)
	}

	return nil
})
