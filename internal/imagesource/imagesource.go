// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package imagesource reads and checks the directory an image is described in:
//
//	cloudinit/NN_name.cfg     cloud-config parts, scripts and boothooks, run in the order of their names
//	fs/                       files of the image, as they lie under /
//	script/compile.sh         runs while compiling
//	script/install.sh         runs on the machine after fs/ is in place
//	ami.env                   NAME, VERSION and more, as shell assignments
//	readme.md
//
// It only reads, runs nothing, and knows neither AWS nor Packer. Every check reports all it finds.
package imagesource

import (
	"io/fs"

	"github.com/amibakery/packer-plugin-bakery/internal/problem"
)

// Kind is what a part's first line makes it.
type Kind int

// The kinds cloud-init tells apart by the first line (cloudinit/handlers/__init__.py, INCLUSION_TYPES_MAP) that a bake
// can carry.
const (
	CloudConfig Kind = iota // "#cloud-config"
	Script                  // "#!"
	Boothook                // "#cloud-boothook"
)

// Part is one file of cloudinit/.
type Part struct {
	Name     string // "60_app.cfg"
	Path     string // as shown in messages: "cloudinit/60_app.cfg"
	Priority int    // the two digits the name begins with
	Kind     Kind
	Content  []byte
}

// ScriptFile is one file of script/.
type ScriptFile struct {
	Path    string // as shown in messages: "script/install.sh"
	Content []byte
	Mode    fs.FileMode
}

// Env is what ami.env assigns.
type Env struct {
	Vars  map[string]string
	Names []string // in the order of the file, each once
}

// Source is an Image-Source.
type Source struct {
	Dir     string
	Parts   []Part // sorted by name, which is the order they run in
	FS      string // path of fs/, empty when there is none
	Compile *ScriptFile
	Install *ScriptFile
	Env     Env
	Readme  string // first paragraph of readme.md
}

// Read reads the Image-Source in dir and checks all of it.
func Read(dir string) (*Source, problem.List) { return &Source{Dir: dir}, nil }

// CheckFS checks the files under dir, the fs/ of an Image-Source.
func CheckFS(dir string) problem.List { return nil }

// ParseEnv reads ami.env.
func ParseEnv(path string, content []byte) (Env, problem.List) { return Env{}, nil }
