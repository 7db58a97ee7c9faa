// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/communicator"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
	"github.com/hashicorp/packer-plugin-sdk/multistep/commonsteps"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/recorder"
)

// StepProvision runs the template's provisioners, before there is a machine, and records what they do. It has the name by
// which Packer knows the step for -on-error=run-cleanup-provisioner.
type StepProvision struct {
	commonsteps.StepProvision

	hook packersdk.Hook // Packer's own
}

func newStepProvision() *StepProvision { return &StepProvision{} }

// Run implements multistep.Step.
func (s *StepProvision) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	b := unpack(state)
	b.phases.enter(phasePrepare)
	dir, err := os.MkdirTemp("", "bakery-provisioners-")
	b.ledger.add("directory "+dir, func(context.Context) error { return os.RemoveAll(dir) }).
		by(func() []string { return []string{"rm -r " + word(dir)} })
	tape := recorder.New(dir)
	s.Comm = tape // Packer crashes without one, in Cleanup too
	if err != nil {
		tape.Stop(err)
		return halt(ctx, state, fmt.Errorf("make a directory to record the provisioners in: %w", err))
	}
	b.limit(tape)
	s.listen(state, tape)
	action := s.StepProvision.Run(ctx, state)
	log, refused := tape.Close()
	switch {
	case ctx.Err() != nil:
		return halt(ctx, state, errCancelled)
	case refused != nil:
		return halt(ctx, state, refused)
	case action != multistep.ActionContinue:
		if err, ok := state.GetOk(keyError); ok {
			state.Put(keyError, tape.Explain(err.(error))) //nolint:forcetypeassert // only errors are put there
		}
		return action
	}
	if err := b.takeRecording(ctx, log, filepath.Join(dir, recordingName)); err != nil {
		return halt(ctx, state, err)
	}
	return multistep.ActionContinue
}

// limit refuses what this bake cannot take, whoever asks for it.
func (b *bake) limit(tape *recorder.Recorder) {
	if b.payload.verbatim != nil {
		tape.Refuse(fmt.Errorf("verdict = %q launches the user data as it is, so provisioners cannot be added to it: remove verdict, or the provisioners",
			verdictStop))
	}
	if b.config.given() {
		tape.RefuseJoin(errors.New("image_source, bundle, user_data_file or user_data says already what to bake: keep either that " +
			"or the provisioner bakery-image-source"))
	}
}

// listen lets the recorder hear what provisioners say.
func (s *StepProvision) listen(state multistep.StateBag, tape *recorder.Recorder) {
	if s.hook == nil { // Packer runs a step again when -on-error=ask is answered so
		s.hook = state.Get(keyHook).(packersdk.Hook) //nolint:forcetypeassert // put there by run
	}
	state.Put(keyHook, &recordedHook{hook: s.hook, tape: tape, user: unpack(state).config.loginUser()})
	// Without it, build.Host and the like would be the text "<unknown>" in provisioners.
	state.Put(keyComm, &communicator.Config{Type: "none"})
}

// recordedHook is the hook that runs the provisioners, with the recorder's ears.
type recordedHook struct {
	hook packersdk.Hook
	tape *recorder.Recorder
	user string
}

// refusalGrace is how long a provisioner that was refused may take to end by itself. One that does not notice is
// cancelled, and with it every provisioner of this build, an error-cleanup-provisioner too.
const refusalGrace = 500 * time.Millisecond

// Run implements packersdk.Hook.
func (h *recordedHook) Run(ctx context.Context, name string, ui packersdk.Ui, comm packersdk.Communicator, data any) error {
	h.complete(data)
	if name != packersdk.HookProvision {
		return h.hook.Run(ctx, name, ui, comm, data)
	}
	defer context.AfterFunc(ctx, func() { h.tape.Stop(errCancelled) })()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-h.tape.Refused():
			time.AfterFunc(refusalGrace, cancel)
		case <-ctx.Done():
		}
	}()
	return h.hook.Run(ctx, name, h.tape.UI(ui), comm, data)
}

// ofMachine are the build variables of a machine that can be connected to, by the names of their placeholders.
var ofMachine = map[string]string{
	"ID": "ID", "Host": "HOST", "Port": "PORT", "Password": "PASSWORD", "SSHPublicKey": "SSH_PUBLIC_KEY",
	"SSHPrivateKey": "SSH_PRIVATE_KEY", "SSHPrivateKeyFile": "SSH_PRIVATE_KEY_FILE", "WinRMPassword": "WINRM_PASSWORD",
}

// complete corrects the build variables. The ones of the machine must not be empty: nobody would notice that in a script.
func (h *recordedHook) complete(data any) {
	variables, ok := data.(map[string]any)
	if !ok {
		return
	}
	for name, placeholder := range ofMachine {
		variables[name] = recorder.Placeholder(placeholder)
	}
	variables["User"] = h.user
}
