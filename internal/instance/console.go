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
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// consoleReader is how a machine's console can be read.
type consoleReader struct {
	oldTextOnly bool  // not a Nitro machine: EC2 does not show its newest text
	denied      error // why it cannot be read at all
	deniedTold  bool
	failed      error // why it could not be read the last time
}

// readLog reads what the machine has said since it was last asked, and shows it.
func (m *Instance) readLog(ctx context.Context, end bool) {
	fresh := m.readConsole(ctx)
	m.Log.ReadCommitment(ctx)
	// The log in S3 comes after the console: a verdict on the console means that the log is whole.
	fresh = append(fresh, m.Log.ReadStaged(ctx, end)...)
	m.Log.Show(ctx, fresh, end)
}

// readConsole reads the console and returns the reports that are new. A right may depend on the tags of the machine, so
// a refusal counts only when EC2 has shown the machine.
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
	case err != nil && !awscall.IsTransient(err) && ctx.Err() == nil && m.state != "" &&
		!awscall.HasCode(err, awscall.CodeInstanceNotFound):
		c.denied = err
	}
	if err != nil || len(text) == 0 {
		return nil
	}
	return m.Log.ReadConsole(text)
}

// checkConsole returns an error when the console cannot be read and the verdict comes no other way: the machine would
// work to its end in vain. Otherwise, it tells the user once.
func (m *Instance) checkConsole(c *WatchConfig) error {
	switch {
	case m.console.denied == nil:
		return nil
	case !m.Log.HasStaged() && c.Verdict != setting.VerdictStop:
		return fmt.Errorf("the verdict of %s comes by its console, and that cannot be read; set %s, or: %w", m.ID,
			stagingExample, m.console.denied)
	case !m.console.deniedTold:
		m.console.deniedTold = true
		m.bake.Warn("the console of %s cannot be read, so its progress cannot be shown: %s", m.ID, m.console.denied)
	}
	return nil
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
