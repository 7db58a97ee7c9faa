// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package machine_test

import (
	"bufio"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
)

// banner returns the greeting of the machine's SSH server. It tries until there is one.
func banner(t *testing.T, g *guest) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootTimeout)
	defer cancel()
	for {
		conn, err := g.Dial(ctx, 22)
		if err == nil {
			line, _ := bufio.NewReader(conn).ReadString('\n')
			_ = conn.Close()
			if line != "" {
				return line
			}
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("no SSH server: %v", err)
		}
	}
}

func TestDialWorksAfterReboots(t *testing.T) {
	g := launch(t, "i-dial", newDisk(t, "bookworm"), "#cloud-config\nbootcmd:\n"+
		"- 'echo boot >> /root/boots; echo this is boot $(wc -l < /root/boots) > /dev/console'\n")
	for n := 1; n <= 2; n++ {
		g.see(t, fmt.Sprintf("this is boot %d", n))
		if got := banner(t, g); !strings.HasPrefix(got, "SSH-2.0-OpenSSH") {
			t.Errorf("greeted with %q", got)
		}
		if _, err := g.Dial(t.Context(), 23); err == nil {
			t.Error("something listens on a port where nothing does")
		}
		run(t, g, "systemctl", "--no-block", "reboot")
	}
}
