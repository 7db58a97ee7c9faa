// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"github.com/amibakery/packer-plugin-bakery/internal/cloudconfig"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/imagesource"
	"github.com/amibakery/packer-plugin-bakery/internal/problem"
)

// downloadPriority is the priority at which fs/ is downloaded. Parts below it run before, all others after fs/ is
// extracted and install.sh has run.
const downloadPriority = 50

// assemble returns the program for the machine, without fs/. The problems are those of the parts together; each part
// has been checked already.
func assemble(src *imagesource.Source, install *imagesource.ScriptFile) (guest.Program, problem.List) {
	var program guest.Program
	merged, problems := merge(src.Parts)
	commands := map[string][]guest.Command{}
	for _, c := range merged.Runcmd {
		for _, command := range c.Commands {
			commands[c.Part] = append(commands[c.Part], guest.Command(command))
		}
	}
	for _, p := range src.Parts {
		step := guest.Step{Name: p.Name, Commands: commands[p.Name]}
		switch p.Kind {
		case imagesource.Boothook:
			program.Boothooks = append(program.Boothooks, guest.Part{Name: p.Name, Content: p.Content})
			continue
		case imagesource.Script:
			step.Script = p.Content
		case imagesource.CloudConfig:
			if len(step.Commands) == 0 {
				continue
			}
		}
		if p.Priority < downloadPriority {
			program.Before = append(program.Before, step)
		} else {
			program.After = append(program.After, step)
		}
	}
	if install != nil {
		program.Install = install.Content
	}
	if len(merged.Keys) > 0 {
		program.CloudConfig, program.Keys = merged.Config, merged.Keys
	}
	return program, problems
}

// merge merges the cloud-config parts.
func merge(parts []imagesource.Part) (*cloudconfig.Merged, problem.List) {
	var docs []*cloudconfig.Document
	for _, p := range parts {
		if p.Document != nil {
			docs = append(docs, p.Document)
		}
	}
	return cloudconfig.Merge(docs)
}
