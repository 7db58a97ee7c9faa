// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package template reads from the template that Packer runs what Packer does not tell a builder: which build variables
// the blocks of its source use, some of their settings, and which of them never run.
//
// Packer has read the template before, and reports its mistakes. So what cannot be read or understood here is left out.
// The package may not know the builder, which uses what is found, nor AWS.
package template

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/inputfile"
)

// Source is a source of a template, by the words that Packer passes to its builder.
type Source struct {
	Type string // such as "bakery-userdata"
	Name string // of the source block, or in JSON of the builder
}

// Provisioner is a provisioner or post-processor block that runs for a source.
type Provisioner struct {
	Type      string     // "" where it is not written out
	Cleanup   bool       // it is an error-cleanup-provisioner
	Processor bool       // it is a post-processor
	Uses      []Variable // the build variables in it, in their order
	True      []string   // the settings whose value is written out as true

	File      string // as the user has named it
	Line      int
	Downloads bool     // direction is written out as "download"
	ExitCodes []int    // valid_exit_codes, as it is written out, in ascending order
	HasCodes  bool     // it has valid_exit_codes, written out or not
	Unknown   []string // the names in only and except that are no source of the build
}

// Variable is a build variable in a template, such as build.Host.
type Variable struct {
	Name string // "Host"
	File string // as the user has named it
	Line int
	// Column is counted in characters, from 1.
	Column int
	// Changed is the HCL function around the variable that changes its value, such as "upper". It is "" without one.
	Changed string
}

// maxSize is more than any template has: Packer keeps all of it in memory too.
const maxSize = 16 << 20

// Path returns the path of the template in the command line of packer build or packer validate: it is the last word. It
// is empty for other command lines.
func Path(args []string) string {
	if len(args) < 3 || args[1] != "build" && args[1] != "validate" {
		return ""
	}
	return args[len(args)-1]
}

// Provisioners returns the provisioner and post-processor blocks of a template that run for a source: those of a file,
// or of all files of a folder. Apart from them, it returns those that run for no source of their build, by their only.
// It returns none when the template cannot be read.
func Provisioners(path string, source Source) (found, unreachable []Provisioner) {
	for _, file := range files(path) {
		content, err := inputfile.Read(file, maxSize)
		if err != nil {
			continue
		}
		if strings.HasSuffix(file, ".pkr.hcl") || strings.HasSuffix(file, ".pkr.json") {
			running, skipped := readHCL(file, content, source)
			found, unreachable = append(found, running...), append(unreachable, skipped...)
		} else {
			found = append(found, readJSON(file, content, source.Name)...)
		}
	}
	return found, unreachable
}

// files returns the files of a template, as Packer does.
func files(path string) []string {
	if path == "" {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []string{path}
	}
	var found []string
	folder := strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
	for _, ending := range []string{"*.pkr.hcl", "*.pkr.json"} {
		names, _ := filepath.Glob(filepath.Join(folder, ending)) // the pattern is good
		found = append(found, names...)
	}
	return found
}

// AllTrue returns the types of the given settings, by type, for which every provisioner of the type has its setting
// true.
func AllTrue(provisioners []Provisioner, settings map[string]string) []string {
	all := map[string]bool{}
	for _, p := range provisioners {
		setting, ok := settings[p.Type]
		if !ok || p.Cleanup || p.Processor {
			continue
		}
		before, seen := all[p.Type]
		all[p.Type] = (before || !seen) && slices.Contains(p.True, setting)
	}
	var types []string
	for name, isTrue := range all {
		if isTrue {
			types = append(types, name)
		}
	}
	slices.Sort(types)
	return types
}

// CommonExitCodes returns the valid_exit_codes of the blocks of a type, when all of them have the same, or none.
func CommonExitCodes(provisioners []Provisioner, blockType string) []int {
	var all []Provisioner
	for _, p := range provisioners {
		if p.Type == blockType && !p.Cleanup && !p.Processor {
			all = append(all, p)
		}
	}
	if len(all) == 0 || slices.ContainsFunc(all, func(p Provisioner) bool {
		return !slices.Equal(p.ExitCodes, all[0].ExitCodes)
	}) {
		return nil
	}
	return all[0].ExitCodes
}
