// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package initrd

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/frame"
)

// agent returns a connection at which the agent waits for a job.
func agent(t *testing.T) net.Conn {
	t.Helper()
	listener := listen(t)
	near, err := (&net.Dialer{}).DialContext(t.Context(), "tcp4", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, text, err := frame.Read(far)
		if err == nil {
			handleJob(text, far)
		}
	}()
	t.Cleanup(func() { _ = near.Close() })
	return near
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

func TestExec(t *testing.T) {
	tests := map[string]struct {
		argv       []string
		input      string
		out, errs  string
		exit       int
		impossible string
	}{
		"with both outputs": {argv: []string{"sh", "-c", "echo one; echo two >&2"}, out: "one\n",
			errs: "two\n"},
		"with an exit status":      {argv: []string{"sh", "-c", "exit 7"}, exit: 7},
		"ended by a signal":        {argv: []string{"sh", "-c", "kill -9 $$"}, exit: 137},
		"with input":               {argv: []string{"cat"}, input: "typed", out: "typed"},
		"that does not read it":    {argv: []string{"true"}, input: strings.Repeat("x", 3*1<<20)},
		"with a clean environment": {argv: []string{"sh", "-c", "echo $HOME $LANG"}, out: "/root C.UTF-8\n"},
		"that is not there":        {argv: []string{"no-such-command"}, impossible: "executable file not found"},
		"that leaves one behind":   {argv: []string{"sh", "-c", "sleep 60 & echo done"}, out: "done\n"},
		"with more than fits a line": {argv: []string{"sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"},
			out: strings.Repeat("x", 3000000)},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var out, errs bytes.Buffer
			var input io.Reader
			if tc.input != "" {
				input = strings.NewReader(tc.input)
			}
			err := Exec(agent(t), tc.argv, input, &out, &errs)
			var exit ExitError
			switch {
			case tc.impossible != "":
				if err == nil || !strings.Contains(err.Error(), tc.impossible) {
					t.Errorf("error %v", err)
				}
			case err != nil && !errors.As(err, &exit), exit.ExitCode() != tc.exit:
				t.Errorf("error %v", err)
			}
			if out.String() != tc.out || errs.String() != tc.errs {
				t.Errorf("%d bytes of output, %q on the other", out.Len(), errs.String())
			}
		})
	}
}

func TestACommandEndsWithItsConnection(t *testing.T) {
	conn := agent(t)
	ended := make(chan error, 1)
	go func() { ended <- Exec(conn, []string{"sh", "-c", "sleep 4242"}, nil, nil, nil) }()
	time.AfterFunc(100*time.Millisecond, func() { _ = conn.Close() })
	if err := <-ended; err == nil {
		t.Error("no error")
	}
}

func TestConnect(t *testing.T) {
	listener := listen(t)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, _ = io.WriteString(conn, "hello")
			_ = conn.Close()
		}
	}()
	port := listener.Addr().(*net.TCPAddr).Port
	conn := agent(t)
	if err := Connect(conn, port); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(conn); string(got) != "hello" {
		t.Errorf("read %q", got)
	}
	_ = listener.Close()
	if err := Connect(agent(t), port); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("nobody listens, and yet: %v", err)
	}
}
