// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"strings"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// machine is the machine that a communicator is connected to.
type machine struct {
	config *Config
	comm   packersdk.Communicator
	ui     packersdk.Ui
	data   map[string]any

	facts guest.Facts
	path  string // of the payload on the machine, once it is uploaded
}

// probe finds out which programs the machine has, and whether commands can be run as root.
func (m *machine) probe(ctx context.Context) error {
	printed, status, err := m.output(ctx, guest.Probe)
	if err != nil {
		return err
	}
	facts, ok := guest.ReadFacts(printed)
	if !ok {
		return fmt.Errorf("look at the machine: it has no POSIX shell, or no connection: exit status %d%s", status,
			quoted(printed))
	}
	m.facts = facts
	if len(facts.Lacks) > 0 {
		return fmt.Errorf("look at the machine: it lacks %s, which are needed to apply an Image-Source: install "+
			"them first",
			strings.Join(facts.Lacks, ", "))
	}
	return m.checkRoot(ctx)
}

func (m *machine) checkRoot(ctx context.Context) error {
	if m.facts.Root && m.config.ExecuteCommand == "" {
		return nil
	}
	command, err := m.asRoot("id -u")
	if err != nil {
		return err
	}
	printed, status, err := m.output(ctx, command)
	if err != nil {
		return err
	}
	// A password prompt may be printed before it.
	if words := strings.Fields(printed); status == 0 && len(words) > 0 && words[len(words)-1] == "0" {
		return nil
	}
	how := "execute_command"
	if m.config.ExecuteCommand == "" {
		how = "sudo -n"
	}
	return fmt.Errorf("become root on the machine: %s failed with exit status %d%s; let the login user use sudo "+
		"without a password, "+
		"log in as root, or say with execute_command how to run {{ .Command }} as root", how, status, quoted(printed))
}

// asRoot returns the command line that runs a command as root.
func (m *machine) asRoot(command string) (string, error) {
	switch {
	case m.config.ExecuteCommand != "":
		return m.config.execute(m.data, command)
	case m.facts.Root:
		return command, nil
	}
	return "sudo -n " + command, nil
}

// boundedBuffer keeps the beginning of what is written to it: a machine may print without end.
type boundedBuffer struct{ bytes.Buffer }

// Write implements io.Writer.
func (b *boundedBuffer) Write(p []byte) (int, error) {
	const limit = 1 << 20
	_, _ = b.Buffer.Write(p[:min(len(p), max(0, limit-b.Len()))]) // returns no error
	return len(p), nil
}

// output runs a command of the login user and returns what it printed.
func (m *machine) output(ctx context.Context, command string) (string, int, error) {
	var stdout, stderr boundedBuffer
	cmd := &packersdk.RemoteCmd{Command: command, Stdout: &stdout, Stderr: &stderr}
	if err := cmd.RunWithUi(ctx, m.comm, silent{m.ui}); err != nil {
		return "", 0, fmt.Errorf("run a command on the machine: %w", err)
	}
	return stderr.String() + "\n" + stdout.String(), cmd.ExitStatus(), nil
}

// checkCloudInit returns an error when the Image-Source needs cloud-init and the machine does not have it.
func (m *machine) checkCloudInit(live *bundle.Live) error {
	if len(live.CloudInit) == 0 || m.facts.CloudInit {
		return nil
	}
	return fmt.Errorf("there is no cloud-init on the machine, and these parts need it:\n  %s\nMove them to runcmd, "+
		"fs/ or "+
		"script/install.sh, which need none, or install cloud-init first; nothing has been changed",
		strings.Join(live.CloudInit, "\n  "))
}

// upload sends the payload.
func (m *machine) upload(ctx context.Context, id string, file *payload) error {
	m.path = m.config.RemoteFolder + "/bakery-" + id + ".sh"
	var info fs.FileInfo = fileInfo{name: "bakery-" + id + ".sh", size: file.size}
	m.ui.Say(fmt.Sprintf("Uploading %d bytes to %s...", file.size, m.path))
	tracked := m.ui.TrackProgress("payload", 0, file.size, file)
	err := m.comm.Upload(m.path, tracked, &info)
	if err = errors.Join(err, tracked.Close()); err != nil {
		m.remove()
		return fmt.Errorf("upload the payload to %s: %w; it takes %d bytes there: is there room, and may the login "+
			"user write? "+
			"remote_folder names another directory", m.path, err, file.size)
	}
	if err := ctx.Err(); err != nil {
		m.remove()
		return err
	}
	return nil
}

// run runs the payload and returns an error unless it succeeded. The exit status alone is not enough: Packer returns 0
// for some lost connections, and execute_command may have an exit status of its own.
func (m *machine) run(ctx context.Context, r guest.Reader, needs []string) error {
	command, err := m.asRoot("sh " + m.path)
	if err != nil {
		return err
	}
	show := &reportUI{Ui: m.ui, reader: r}
	cmd := &packersdk.RemoteCmd{Command: command}
	err = cmd.RunWithUi(ctx, m.comm, show)
	if ctx.Err() != nil {
		m.stop()
		return ctx.Err()
	}
	if err != nil {
		m.remove()
		return fmt.Errorf("run the payload on the machine: %w", err)
	}
	outcome, judged := guest.Judge(guest.SortReports(show.reports))
	if !judged {
		return m.errNoVerdict(show, cmd.ExitStatus())
	}
	if outcome.OK && cmd.ExitStatus() == 0 {
		return nil
	}
	if outcome.OK {
		return fmt.Errorf("apply the Image-Source: every step succeeded, but execute_command ended with exit status %d",
			cmd.ExitStatus())
	}
	text := fmt.Sprintf("apply the Image-Source: %s failed with exit status %d", outcome.Step, outcome.Code)
	if outcome.Reason != "" {
		text += ": " + outcome.Reason
	}
	if outcome.Step == "cloud-init" { // cloud-init itself could not be used
		text += "; these parts need it:\n  " + strings.Join(needs, "\n  ")
	}
	return errors.New(text)
}

// errNoVerdict returns the error for a run without a verdict.
func (m *machine) errNoVerdict(show *reportUI, status int) error {
	if len(show.reports) == 0 {
		m.remove()
		return fmt.Errorf("apply the Image-Source: the machine did not begin, exit status %d%s", status,
			quoted(show.last))
	}
	return fmt.Errorf("apply the Image-Source: the connection was lost while %s. Where a step reboots the machine, "+
		"only the "+
		"builder bakery-userdata continues after it; over a connection, split the Image-Source in two and reboot "+
		"between "+
		"them with a shell provisioner that has expect_disconnect", cmp.Or(show.step, "the machine began"))
}

// cleanupTimeout is how long a machine may take to stop and clean up after an interrupt: a step has a second to end by
// itself, and the files to overwrite are small.
const cleanupTimeout = 30 * time.Second

// stop stops the run after Packer was interrupted.
func (m *machine) stop() {
	if command, err := m.asRoot("sh " + guest.StopPath + " stop"); err == nil {
		m.runQuietly(command)
	}
	m.remove()
}

// remove removes the payload. A payload that has begun to run removes itself.
func (m *machine) remove() { m.runQuietly("rm -f " + m.path) }

func (m *machine) runQuietly(command string) {
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	if _, _, err := m.output(ctx, command); err != nil { // nothing more can be done
		log.Printf("[WARN] clean up on the machine: %v", err)
	}
}

// quoted returns the end of the output of a machine, for an error.
func quoted(printed string) string {
	const limit = 400
	text := strings.Join(strings.Fields(printed), " ")
	if text == "" {
		return ""
	}
	return ": " + text[max(0, len(text)-limit):]
}
