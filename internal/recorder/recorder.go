// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package recorder is a Packer communicator to a machine that does not exist yet. It records on disk what provisioners
// do, in order, and the guest program runs it later on the machine.
//
// An upload is copied to a file named by its sha256, a command becomes a fragment of POSIX sh, and both report success
// at once. What cannot be done later (downloads, input, reading the output of a command, Windows) is refused.
// [Recorder.Close] returns the refusals as its error. A communicator does not know which provisioner calls it, so the
// recorder finds that out from the lines that provisioners print on their Ui; see [Recorder.UI].
//
// The package knows the Packer SDK, and what Packer's own provisioners do with a communicator. It may not know AWS, nor
// how the guest program runs the recording: that is part of package guest.
package recorder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// Recorder implements Packer's communicator. It is made by [New].
type Recorder struct {
	blobs blobs
	log   *Log

	mu        sync.Mutex
	announced bool          // the user has been told that the calls are only recorded
	announce  func()        // tells the user
	tracker   tracker       // which provisioner is calling
	steps     []*step       // what was recorded
	uploaded  string        // the destination of the last operation, if it was an upload
	pause     time.Duration // how long Packer has waited since the last operation
	refusals  []error       // what cannot be done on the machine
	refused   chan struct{} // closed by the first refusal
	refuseAll error         // why everything is refused
	joinErr   error         // why an Image-Source cannot be added
	stopped   error         // why nothing is recorded any more

	lenient map[string]bool // the kinds of provisioners that the template tells to ignore failures
	// shellAccepts are the exit statuses besides 0 that all shell blocks accept, separated by spaces.
	shellAccepts string
}

var _ packersdk.Communicator = (*Recorder)(nil)

// New returns a recorder that writes below the directory dir, which must exist and be empty.
func New(dir string) *Recorder {
	tree := filepath.Join(dir, "tree")
	return &Recorder{
		blobs:   blobs{dir: filepath.Join(tree, replay, "blob"), unfinished: filepath.Join(dir, "unfinished")},
		log:     &Log{Dir: tree},
		refused: make(chan struct{}),
	}
}

// Start records a command and sets exit status 0, or 1 when the command is refused. It returns no error then, because
// Packer's shell provisioner would start the command again for five minutes.
func (r *Recorder) Start(ctx context.Context, cmd *packersdk.RemoteCmd) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	status := 0
	err := r.command(cmd)
	if err != nil {
		status = 1
	}
	if errors.Is(err, errNoMachine) && cmd.Stderr != nil {
		_, _ = fmt.Fprintln(cmd.Stderr, err) // Close reports refusals, but Close has already been called
	}
	cmd.SetExited(status)
	return nil
}

func (r *Recorder) command(cmd *packersdk.RemoteCmd) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped != nil {
		return r.stopped
	}
	b := r.tracker.blockFor(call{kind: callCommand, path: cmd.Command})
	uploaded := r.uploaded
	r.uploaded = ""
	facts, err := checkCommand(cmd.Command)
	if err = cmp.Or(r.refuseAll, refuseCommand(cmd, b.kind), err); err != nil {
		return r.refuse(b, err)
	}
	if len(r.refusals) > 0 {
		return errStopped
	}
	if b.kind == kindShell && cmd.Command == rmPrefix {
		b.ended = true // the shell provisioner's last command, which removes nothing without an env file
		return nil
	}
	r.log.Commands++
	b.ended = b.ended || b.envFile != "" && cmd.Command == rmPrefix+b.envFile
	return r.record(b, r.commandFunction(b, cmd, uploaded)+" "+shell.Quote(cmd.Command)+"\n", factsIn(facts))
}

// commandFunction returns the beginning of the operation that runs a command. The caller holds the lock.
func (r *Recorder) commandFunction(b *block, cmd *packersdk.RemoteCmd, uploaded string) string {
	if b.kind == kindShell && isChmod(cmd, uploaded) {
		return "bakery_try" // the shell provisioner ignores its exit status
	}
	if statuses := r.accepted(b, cmd.Command); statuses != "" {
		r.log.Accepts = true
		return "bakery_accept " + shell.Quote(statuses)
	}
	return "bakery_command"
}

// factsIn returns the first line of an operation in which the machine replaces placeholders, and in which blobs, or ""
// when there are none.
func factsIn(facts bool, blobs ...string) string {
	if !facts {
		return ""
	}
	return strings.Join(append([]string{factsLine}, blobs...), " ") + "\n"
}

// factsLine begins an operation with placeholders.
const factsLine = "# facts:"

// record adds one operation to those of the provisioner. The facts are its first line, if any. The caller holds the
// lock.
func (r *Recorder) record(b *block, op, facts string) error {
	r.log.Facts = r.log.Facts || facts != ""
	op = facts + op
	r.announceOnce()
	s, isNew := b.stepFor(&r.tracker)
	if isNew {
		s.dir = fmt.Sprintf("%03d", len(r.steps)+1)
		r.steps = append(r.steps, s)
	}
	if err := errors.Join(r.writePause(s), r.write(s, op)); err != nil {
		return r.refuse(b, fmt.Errorf("record it: %w", err))
	}
	return nil
}

// writePause records a pause when Packer has waited: for a reboot that an earlier provisioner has started, or for a
// background program of it.
func (r *Recorder) writePause(s *step) error {
	pause := r.pause
	r.pause = 0
	if pause <= 0 {
		return nil
	}
	return r.write(s, fmt.Sprintf("bakery_pause %d\n", (pause+time.Second-1)/time.Second))
}

// write adds one operation to a step.
func (r *Recorder) write(s *step, op string) error {
	s.ops++
	dir := filepath.Join(r.log.Dir, replay, s.dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	file := filepath.Join(dir, fmt.Sprintf("%04d", s.ops))
	return os.WriteFile(file, []byte(op), 0o600) //nolint:gosec // a path made of numbers
}

// Stop ends the recording: all later calls fail with err.
func (r *Recorder) Stop(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped == nil {
		r.stopped = err
	}
}

// Close ends the recording and returns it. The error contains everything that was refused.
func (r *Recorder) Close() (*Log, error) {
	r.Stop(errNoMachine)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.refusals) == 0 && len(r.steps) > 0 {
		if err := r.writePause(r.steps[len(r.steps)-1]); err != nil {
			return nil, fmt.Errorf("record the provisioners: %w", err)
		}
	}
	if err := joinRefusals(r.refusals); err != nil {
		return nil, err
	}
	for _, s := range r.steps {
		r.log.Provisioners = append(
			r.log.Provisioners,
			Provisioner{Dir: s.dir, Name: s.name(), synthetic: s.block.synthetic()},
		)
	}
	r.log.Count, r.log.Local = r.tracker.count, r.tracker.local
	for _, kind := range r.tracker.silentKinds() {
		r.log.Warnings = append(r.log.Warnings, fmt.Sprintf("the provisioner %s ran before there is a machine, and "+
			"recorded nothing for it: nothing of it is in the image. %s", kind, silentWayOut(kind)))
	}
	return r.log, nil
}
