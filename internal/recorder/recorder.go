// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package recorder is a Packer communicator to a machine that does not exist yet: it records what provisioners do, in
// order and on disk, for the guest program to do again on the machine.
//
// An upload is copied to a file named by its sha256, a command becomes a fragment of POSIX sh, and both report success at
// once. What cannot be done later (downloads, input, reading what a command prints, Windows) is refused, and the refusals
// are the error of [Recorder.Close]. Packer does not tell a communicator which provisioner calls it, so the recorder
// learns that from what provisioners say on their Ui; see [Recorder.UI].
//
// The package knows the Packer SDK, and what Packer's own provisioners do with a communicator. It may not know AWS, nor
// how the guest program does what was recorded: that is package guest's business.
package recorder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// Recorder implements Packer's communicator. It is made by [New].
type Recorder struct {
	blobs blobs
	log   *Log

	mu       sync.Mutex
	told     bool          // the user knows that what follows is recorded only
	speaker  speaker       // whose calls these are
	steps    []*step       // what was recorded
	uploaded string        // the destination of the upload that came last, if nothing came after it
	pause    time.Duration // how long Packer has waited since the operation that came last
	refusals []error       // what cannot be done on the machine
	always   error         // why everything is refused
	noJoin   error         // why an Image-Source cannot join
	stopped  error         // why nothing is recorded any more
	refused  chan struct{}
	tellUser func() // says that what follows is recorded
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

// Start records a command and ends it with exit status 0, or with 1 when it is refused: an error would make Packer's
// shell provisioner start it again for five minutes.
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
		_, _ = fmt.Fprintln(cmd.Stderr, err) // a refusal is told by Close, but nobody closes again
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
	b := r.speaker.of(call{kind: callCommand, path: cmd.Command})
	uploaded := r.uploaded
	r.uploaded = ""
	if err := cmp.Or(r.always, refuseCommand(cmd)); err != nil {
		return r.refuse(b, err)
	}
	if len(r.refusals) > 0 {
		return errStopped
	}
	if b.kind == kindShell && cmd.Command == cleanNothing {
		b.ended = true // the shell provisioner's last command, for an env file it did not need: it removes nothing
		return nil
	}
	function := "bakery_command"
	if b.kind == kindShell && isChmod(cmd, uploaded) {
		function = "bakery_try" // the shell provisioner does not look at its exit status
	}
	r.log.Commands++
	b.ended = b.ended || b.envFile != "" && cmd.Command == cleanNothing+b.envFile
	return r.record(b, function+" "+shell.Quote(cmd.Command)+"\n")
}

// record adds one operation to what the provisioner did so far. The caller holds the lock.
func (r *Recorder) record(b *block, op string) error {
	r.tell()
	s, isNew := b.stepFor(&r.speaker)
	if isNew {
		s.dir = fmt.Sprintf("%03d", len(r.steps)+1)
		r.steps = append(r.steps, s)
	}
	if err := errors.Join(r.writePause(s), r.write(s, op)); err != nil {
		return r.refuse(b, fmt.Errorf("record it: %w", err))
	}
	return nil
}

// writePause lets the machine wait where Packer has waited: for a reboot that an earlier provisioner has asked for to
// begin, or for what that has left running.
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

// Stop ends the recording: whatever is asked for from now on is answered with err, and as a failure.
func (r *Recorder) Stop(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stopped == nil {
		r.stopped = err
	}
}

// Close ends the recording and returns it. The error is everything that was refused.
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
		r.log.Provisioners = append(r.log.Provisioners, Provisioner{Dir: s.dir, Name: s.name(), madeUp: s.block.madeUp()})
	}
	r.log.Count = r.speaker.count
	return r.log, nil
}
