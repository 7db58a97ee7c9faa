// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package instance

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// consoleReader is how a machine's console can be read.
type consoleReader struct {
	oldTextOnly bool  // not a Nitro machine: EC2 does not show its newest text
	denied      error // why it cannot be read at all
	failed      error // why it could not be read the last time
}

// readLog reads what the machine has said since it was last asked, and shows it.
func (m *Instance) readLog(ctx context.Context, end bool) {
	fresh := m.readConsole(ctx)
	// The log in S3 comes after the console: a verdict on the console means that the log is whole.
	fresh = append(fresh, m.Log.ReadStaged(ctx, end)...)
	m.Log.Show(fresh, end)
}

// readConsole reads the console and returns the reports that are new. An account that may not read it is told once.
func (m *Instance) readConsole(ctx context.Context) []guest.Report {
	c := &m.console
	if c.denied != nil {
		return nil
	}
	text, err := m.consoleText(ctx, !c.oldTextOnly)
	if ctx.Err() == nil {
		c.failed = err
	}
	switch {
	case awscall.HasCode(err, awscall.CodeUnsupported) && !c.oldTextOnly:
		c.oldTextOnly = true
		return m.readConsole(ctx)
	case err != nil && !awscall.IsTransient(err) && ctx.Err() == nil &&
		!awscall.HasCode(err, awscall.CodeInstanceNotFound):
		c.denied = err
		m.bake.Warn("the console of %s cannot be read, so its progress cannot be shown: %s", m.ID, err)
	}
	if err != nil || len(text) == 0 {
		return nil
	}
	return m.Log.ReadConsole(text)
}

// consoleText returns the newest text of the console, which EC2 has of Nitro machines, or what it has kept of it.
func (m *Instance) consoleText(ctx context.Context, latest bool) ([]byte, error) {
	in := &ec2.GetConsoleOutputInput{InstanceId: aws.String(m.ID)}
	if latest {
		in.Latest = aws.Bool(true)
	}
	ctx, cancel := awscall.WithCallTimeout(ctx)
	defer cancel()
	out, err := m.api.GetConsoleOutput(ctx, in, m.guard.RetryOnce)
	if err != nil {
		return nil, fmt.Errorf("read the console: %w", err)
	}
	text, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output))
	if err != nil {
		return nil, fmt.Errorf("decode the console's text: %w", err)
	}
	return text, nil
}
