// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package userdata is the builder bakery-userdata: it launches a machine with one document of user data, watches it
// bake itself, and makes an image of it when the machine itself reports success.
//
// The package is the thin side of the plugin that knows Packer and AWS. What the machine is told and what it answers
// is package guest's business, what an Image-Source is package bundle's. Nothing here connects to a machine.
package userdata

import (
	"github.com/hashicorp/hcl/v2/hcldec"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"

	"github.com/amibakery/packer-plugin-bakery/internal/redact"
)

// BuilderID is what artifacts of this builder call their builder.
const BuilderID = "amibakery.bakery"

// Builder bakes one image. It implements Packer's interface of builders.
type Builder struct {
	config Config
}

var _ packersdk.Builder = (*Builder)(nil)

// ConfigSpec describes the settings to Packer.
func (b *Builder) ConfigSpec() hcldec.ObjectSpec { return b.config.FlatMapstructure().HCL2Spec() }

// Prepare reads and checks the settings, without any network or credentials. It returns the names of the build data
// that provisioners can use, warnings, and all problems in one error.
func (b *Builder) Prepare(raws ...any) ([]string, []string, error) {
	warnings, err := b.config.prepare(raws...)
	if err != nil {
		return nil, warnings, err
	}
	redact.Add(b.config.secrets()...)
	return buildDataNames, warnings, nil
}
