// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/hashicorp/packer-plugin-sdk/communicator"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
	"github.com/hashicorp/packer-plugin-sdk/multistep/commonsteps"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
)

// StepProvision runs the template's provisioners, before there is a machine: shell-local works, and a block that needs
// a machine fails at once and is told what to do instead. It has the name by which Packer knows the step for
// -on-error=run-cleanup-provisioner.
type StepProvision struct{ commonsteps.StepProvision }

func newStepProvision() *StepProvision {
	return &StepProvision{commonsteps.StepProvision{Comm: &refuser{}}}
}

// Run implements multistep.Step.
func (s *StepProvision) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	unpack(state).phases.enter(phasePrepare)
	// Without it, build.Host and the like would be the text "<unknown>" in provisioners.
	state.Put(keyComm, &communicator.Config{Type: "none"})
	if action := s.StepProvision.Run(ctx, state); action != multistep.ActionContinue {
		if ctx.Err() != nil {
			return halt(ctx, state, errCancelled)
		}
		return action
	}
	if s.Comm.(*refuser).refused() { //nolint:forcetypeassert // set by newStepProvision
		return halt(ctx, state, errNoMachine)
	}
	return multistep.ActionContinue
}

var errNoMachine = errors.New("run provisioners: this builder connects to no machine, so only shell-local works. " +
	"Put files into fs/, and commands into script/install.sh or cloudinit/ of the Image-Source")

// refuser is a communicator to no machine. Packer must have one: it crashes without.
//
// It refuses by exit status, never by an error, except where only the file provisioner can be the caller: the shell
// provisioner takes errors for a machine that is still booting, and tries again for five minutes.
type refuser struct {
	mu   sync.Mutex
	used bool
}

var _ packersdk.Communicator = (*refuser)(nil)

func (r *refuser) use() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used = true
}

// refused tells whether a provisioner wanted a machine, and perhaps did not notice that there is none.
func (r *refuser) refused() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used
}

// Start ends the command at once, with an exit status and a message of what to do.
func (r *refuser) Start(_ context.Context, cmd *packersdk.RemoteCmd) error {
	r.use()
	if cmd.Stderr != nil {
		_, _ = fmt.Fprintln(cmd.Stderr, errNoMachine) // the exit status says it as well
	}
	cmd.SetExited(1)
	return nil
}

// Upload takes what the shell provisioner uploads, which passes no file information; the command that follows is
// refused. The file provisioner passes it, and does not try again.
func (r *refuser) Upload(_ string, _ io.Reader, info *os.FileInfo) error {
	r.use()
	if info != nil {
		return errNoMachine
	}
	return nil
}

// UploadDir refuses.
func (r *refuser) UploadDir(string, string, []string) error {
	r.use()
	return errNoMachine
}

// Download refuses.
func (r *refuser) Download(string, io.Writer) error {
	r.use()
	return errNoMachine
}

// DownloadDir refuses.
func (r *refuser) DownloadDir(string, string, []string) error {
	r.use()
	return errNoMachine
}
