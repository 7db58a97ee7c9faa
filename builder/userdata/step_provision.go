// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"github.com/hashicorp/packer-plugin-sdk/communicator"
	"github.com/hashicorp/packer-plugin-sdk/multistep"
	"github.com/hashicorp/packer-plugin-sdk/multistep/commonsteps"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/recorder"
	"github.com/amibakery/packer-plugin-bakery/internal/scratch"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
	"github.com/amibakery/packer-plugin-bakery/internal/template"
)

// StepProvision runs the template's provisioners, before there is a machine, and records what they do. It has the name
// by which Packer knows the step for -on-error=run-cleanup-provisioner.
type StepProvision struct {
	commonsteps.StepProvision

	hook packersdk.Hook // Packer's own
}

func newStepProvision() *StepProvision { return &StepProvision{} }

// Run implements multistep.Step.
func (s *StepProvision) Run(ctx context.Context, state multistep.StateBag) multistep.StepAction {
	b := unpack(state)
	b.Phases.Enter(bake.PhasePrepare)
	dir, err := scratch.New()
	if err != nil {
		tape := recorder.New("")
		tape.Stop(err)
		s.Comm = tape // Packer crashes without one, in Cleanup too
		return halt(ctx, state, fmt.Errorf("make a directory to record the provisioners in: %w", err))
	}
	b.Ledger.AddDirectory(dir)
	tape := recorder.New(dir.Path)
	s.Comm = tape
	refuseImpossible(b, tape)
	s.record(state, tape)
	action := s.StepProvision.Run(ctx, state)
	log, refused := tape.Close()
	switch {
	case ctx.Err() != nil:
		return halt(ctx, state, bake.ErrCancelled)
	case refused != nil:
		return halt(ctx, state, refused)
	case action != multistep.ActionContinue:
		if err := errorIn(state); err != nil {
			state.Put(keyError, tape.Explain(err))
		}
		return action
	}
	if err := addRecording(ctx, b, log, filepath.Join(dir.Path, recordingName)); err != nil {
		return halt(ctx, state, err)
	}
	return multistep.ActionContinue
}

// refuseImpossible refuses what this build cannot bake, whoever asks for it.
func refuseImpossible(b *build, tape *recorder.Recorder) {
	if b.payload.verbatim != nil {
		tape.Refuse(fmt.Errorf("verdict = %q launches the user data as it is, so provisioners cannot be added to it: "+
			"remove verdict, or the provisioners", setting.VerdictStop))
	}
	if b.config.isSet() {
		tape.RefuseJoin(errors.New("image_source, bundle, user_data_file or user_data says already what to bake: " +
			"keep either that or the provisioner bakery-image-source"))
	}
}

// record connects the recorder to the hook that runs the provisioners, and to what they say.
func (s *StepProvision) record(state multistep.StateBag, tape *recorder.Recorder) {
	if s.hook == nil { // Packer runs a step again when -on-error=ask is answered so
		s.hook = state.Get(keyHook).(packersdk.Hook) //nolint:forcetypeassert // put there by run
	}
	config := unpack(state).config
	tape.SetTemplateSettings(template.AllTrue(config.provisioners, recorder.FailureSettings()),
		config.acceptedExitCodes())
	state.Put(keyHook, &recordedHook{hook: s.hook, tape: tape, known: config.knownVariables()})
	// Without it, build.Host and the like would be the text "<unknown>" in provisioners.
	state.Put(keyComm, &communicator.Config{Type: "none"})
}

// recordedHook is the hook that runs the provisioners, with the recorder as their communicator and their UI.
type recordedHook struct {
	hook  packersdk.Hook
	tape  *recorder.Recorder
	known map[string]any // the build variables of the connection that have a value
}

// refusalGrace is how long a provisioner that was refused may take to end by itself. One that does not notice is
// cancelled, and with it every provisioner of this build, an error-cleanup-provisioner too.
const refusalGrace = 500 * time.Millisecond

// Run implements packersdk.Hook.
func (h *recordedHook) Run(ctx context.Context, name string, ui packersdk.Ui, comm packersdk.Communicator,
	data any) error {
	h.setVariables(name, data)
	if name != packersdk.HookProvision {
		return h.hook.Run(ctx, name, ui, comm, data)
	}
	defer context.AfterFunc(ctx, func() { h.tape.Stop(bake.ErrCancelled) })()
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

// setVariables sets the build variables of the machine. They must not be empty: nobody would notice that in a script.
// What cleans up after a failure gets the id of the machine, if there was one.
func (h *recordedHook) setVariables(hook string, data any) {
	variables, ok := data.(map[string]any)
	if !ok {
		return
	}
	for name, placeholder := range machineVariables {
		if name != "ID" || hook == packersdk.HookProvision {
			variables[name] = recorder.Placeholder(placeholder)
		}
	}
	maps.Copy(variables, h.known)
}
