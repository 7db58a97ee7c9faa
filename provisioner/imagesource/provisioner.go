// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package imagesource is the provisioner bakery-image-source: it applies an Image-Source to a machine over any
// communicator, with the guest program that also bakes from user data. With the builder bakery-userdata, which has no
// connection, it passes the Image-Source to the builder, which bakes it together with the other steps.
//
// It adapts internal/bundle and internal/guest to Packer. It may not know AWS, nor what kind of machine it is connected
// to.
package imagesource

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/hashicorp/hcl/v2/hcldec"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/bundle"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/redact"
	"github.com/amibakery/packer-plugin-bakery/internal/scratch"
)

// Provisioner applies an Image-Source.
type Provisioner struct {
	config Config
}

var _ packersdk.Provisioner = (*Provisioner)(nil)

// ConfigSpec returns the shape of the settings.
func (p *Provisioner) ConfigSpec() hcldec.ObjectSpec { return p.config.FlatMapstructure().HCL2Spec() }

// Prepare reads the settings and checks them and the Image-Source. It runs and writes nothing.
func (p *Provisioner) Prepare(raws ...any) error {
	p.config = Config{}
	return p.config.prepare(raws...)
}

// Provision applies the Image-Source to the machine behind comm.
func (p *Provisioner) Provision(
	ctx context.Context,
	ui packersdk.Ui,
	comm packersdk.Communicator,
	data map[string]any,
) error {
	redact.Add(redact.LinesOf(bundle.Join{CompileEnv: p.config.CompileEnv}.Secrets())...)
	return redact.Error(p.provision(ctx, redactedUI{ui}, comm, data))
}

func (p *Provisioner) provision(
	ctx context.Context,
	ui packersdk.Ui,
	comm packersdk.Communicator,
	data map[string]any,
) error {
	if p.config.PackerBuilderType == builderType {
		return p.join(ui, comm)
	}
	// Check the machine before anything is compiled or sent.
	m := &machine{config: &p.config, comm: comm, ui: ui, data: data}
	if err := m.probe(ctx); err != nil {
		return err
	}
	return p.apply(ctx, ui, m)
}

// join passes the Image-Source to the builder.
func (p *Provisioner) join(ui packersdk.Ui, comm packersdk.Communicator) error {
	join, err := p.config.join()
	if err != nil {
		return err
	}
	ui.Say(fmt.Sprintf("The Image-Source %s joins the bake...", p.config.Source))
	if err := comm.Upload(bundle.JoinPath, bytes.NewReader(join.Render()), nil); err != nil {
		return fmt.Errorf("join the Image-Source %s: %w", p.config.Source, err)
	}
	return nil
}

// apply compiles the Image-Source and runs it on the machine.
func (p *Provisioner) apply(ctx context.Context, ui packersdk.Ui, m *machine) (err error) {
	dir, err := scratch.New()
	if err != nil {
		return fmt.Errorf("make a directory to compile into: %w", err)
	}
	defer func() { err = errors.Join(err, dir.Remove()) }()
	ui.Say(fmt.Sprintf("Compiling %s...", p.config.Source))
	options := p.config.options(dir.Path)
	options.Output = func(line string) { ui.Say(indent + line) }
	live, err := bundle.CompileLive(ctx, options)
	if err != nil {
		return fmt.Errorf("compile %s: %w", p.config.Source, err)
	}
	if err := m.checkCloudInit(live); err != nil {
		return err
	}
	id := guest.NewBakeID()
	reader := guest.Reader{BakeID: id, Key: guest.NewKey()}
	live.Program.IgnoreFailures = p.config.IgnoreFailures
	program, err := guest.MakeLive(live.Program, reader, live.FS.Size)
	if err != nil {
		return fmt.Errorf("make the payload: %w", err)
	}
	file, err := newPayload(program, live.FS.Path)
	if err != nil {
		return fmt.Errorf("make the payload: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := m.upload(ctx, id, file); err != nil {
		return err
	}
	return m.run(ctx, reader, live.CloudInit)
}
