// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// TestSoakSlowUpload bakes with sessions of a role that last 15 minutes, while the upload of fs/ takes more than ten
// with -full, and seconds without. The URLs are signed after the upload, so with another session.
func TestSoakSlowUpload(t *testing.T) {
	t.Parallel()
	size, perSecond, takes, wantSessions := 1<<20, 200<<10, 5*time.Second, 1
	if *full { // eleven parts of 5 MiB, five at a time
		size, perSecond, takes, wantSessions = 55<<20, 20<<10, 10*time.Minute, 2
	}
	q := startBakerLab(t, labtest.Baker{})
	role := q.newRole(t, 3600)
	through := startSlowProxy(t, q.URL, perSecond)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	began := time.Now()
	settings := map[string]any{
		"verdict": "report", "instance_timeout": "2m", "profile": q.profileFor(t, through),
		"assume_role": map[string]any{"role_arn": role, "duration_seconds": 900},
	}
	bakeFS(t, settings, size)
	_, printed, err := q.runBuilder(ctx, t, q.settings(settings))
	if err != nil {
		t.Fatalf("%v\n%s", err, printed)
	}
	if took := time.Since(began); took < takes {
		t.Errorf("the upload was to take %s, the whole bake took %s", takes, took)
	}
	asked := q.sessions()
	if len(asked) < wantSessions || slices.ContainsFunc(asked, func(s string) bool { return s != "900" }) {
		t.Errorf("STS was asked for sessions of %q, want %d or more of 900", asked, wantSessions)
	}
}

// startSlowProxy forwards connections to the host of a URL, and sends each no more than so many bytes in a second. It
// returns the URL of the proxy.
func startSlowProxy(t *testing.T, to string, perSecond int) string {
	t.Helper()
	target, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	// Without small segments and buffers, this computer takes megabytes at once, and the client waits for the answer
	// meanwhile.
	small := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var refused error
		err := c.Control(func(fd uintptr) {
			refused = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4096),
				unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, 1400))
		})
		return errors.Join(err, refused)
	}}
	l, err := small.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			go forwardSlowly(from, target.Host, perSecond)
		}
	}()
	return "http://" + l.Addr().String()
}

func forwardSlowly(from net.Conn, host string, perSecond int) {
	defer from.Close()
	to, err := net.Dial("tcp", host)
	if err != nil {
		return
	}
	go func() {
		defer from.Close()
		_, _ = io.Copy(from, to)
	}()
	defer to.Close()
	piece := perSecond / 10
	for sent, began := piece, time.Now(); ; sent += piece {
		if _, err := io.CopyN(to, from, int64(piece)); err != nil {
			return
		}
		time.Sleep(time.Until(began.Add(time.Duration(sent) * time.Second / time.Duration(perSecond))))
	}
}
