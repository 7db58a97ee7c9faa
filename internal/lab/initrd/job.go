// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package initrd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/frame"
)

// job is what the lab asks of the agent: to run a command, or to connect to a TCP port of the machine. After that, the
// rest of the connection is the connection to the port.
type job struct {
	Argv []string `json:",omitempty"`
	Port int      `json:",omitempty"`
}

// Kinds of frames beside those of package frame. The lab begins with frameJob.
const (
	frameJob   = 'j'
	frameReady = 'r' // the port is connected: bytes follow, no frames
)

// ExitError is the exit status of a command, when it is not 0.
type ExitError int

// Error implements error.
func (e ExitError) Error() string { return "exit status " + strconv.Itoa(int(e)) }

// ExitCode returns the status, as *exec.ExitError does.
func (e ExitError) ExitCode() int { return int(e) }

// Exec asks the agent at the other end of a connection to run a command as root, and returns when the command has
// ended. Closing the connection ends the command.
func Exec(conn io.ReadWriter, argv []string, stdin io.Reader, stdout, stderr io.Writer) error {
	to := frame.NewWriter(conn)
	if err := sendJob(to, job{Argv: argv}); err != nil {
		return err
	}
	go func() { // ends with the input, or with the connection
		if stdin != nil {
			_, _ = io.Copy(to.Stream(frame.In), stdin)
		}
		_ = to.Write(frame.In, nil)
	}()
	kind, p, err := frame.CopyOutput(conn, stdout, stderr)
	if err != nil {
		return err
	}
	return outcome(kind, p)
}

// Connect asks the agent to connect to a TCP port of its machine. When it returns nil, conn is that connection.
func Connect(conn io.ReadWriter, port int) error {
	if err := sendJob(frame.NewWriter(conn), job{Port: port}); err != nil {
		return err
	}
	kind, p, err := frame.Read(conn)
	if err == nil && kind != frameReady {
		err = outcome(kind, p)
	}
	return err
}

func sendJob(to *frame.Writer, j job) error {
	text, err := json.Marshal(j)
	if err == nil {
		err = to.Write(frameJob, text)
	}
	if err != nil {
		return fmt.Errorf("ask the machine's agent: %w", err)
	}
	return nil
}

// outcome returns the error that the last frame stands for.
func outcome(kind byte, p []byte) error {
	status, err := strconv.Atoi(string(p))
	switch {
	case kind == frame.Fail:
		return errors.New(strings.ToValidUTF8(string(p), "?"))
	case err != nil:
		return fmt.Errorf("read the command's exit status: %w", err)
	case status != 0:
		return ExitError(status)
	}
	return nil
}
