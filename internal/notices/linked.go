// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// systems are the operating systems of .goreleaser.yml; a test compares them. The linked modules differ between them.
var systems = []string{"linux", "darwin", "windows", "freebsd"}

// architectures are the architectures of .goreleaser.yml.
var architectures = []string{"amd64", "arm64"}

// module is a Go module, or Go itself, whose packages are linked.
type module struct {
	Path, Version string
	Notices       []notice
}

// notice is a licence, or a text that a licence requires to be passed on.
type notice struct{ Name, Text string }

// listed is the output of go list for a package.
type listed struct {
	Dir      string
	Standard bool
	Module   *struct {
		Path, Version, Dir string
		Main               bool
		Replace            *struct{ Path, Version string }
	}
}

// linked returns the modules in the plugin, on all platforms, by their paths.
func linked(ctx context.Context, top string) ([]module, error) {
	folders := map[string]map[string]bool{} // of linked packages, by the folder of their module
	modules := map[string]module{}
	for _, system := range systems {
		for _, architecture := range architectures {
			packages, err := list(ctx, top, system, architecture)
			if err != nil {
				return nil, err
			}
			for _, p := range packages {
				dir, m := p.module()
				if dir == "" {
					continue
				}
				if folders[dir] == nil {
					folders[dir] = map[string]bool{}
				}
				modules[dir] = m
				if !p.Standard { // Go's standard library has one licence, except for parts that only cgo links
					folders[dir][p.Dir] = true
				}
			}
		}
	}
	var all []module
	var errs []error
	for dir, m := range modules {
		var err error
		m.Notices, err = notices(dir, append(slices.Sorted(maps.Keys(folders[dir])), dir))
		errs = append(errs, err)
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b module) int { return cmp.Compare(a.Path, b.Path) })
	return all, errors.Join(errs...)
}

// module returns the folder and the name of a package's module; none for those of this repository.
func (p *listed) module() (dir string, m module) {
	switch {
	case p.Standard:
		dir, _, _ = strings.Cut(p.Dir, string(filepath.Separator)+"src"+string(filepath.Separator))
		return dir, module{Path: "Go's standard library"}
	case p.Module == nil || p.Module.Main:
		return "", module{}
	case p.Module.Replace != nil:
		return p.Module.Dir, module{Path: p.Module.Replace.Path, Version: p.Module.Replace.Version}
	}
	return p.Module.Dir, module{Path: p.Module.Path, Version: p.Module.Version}
}

// list returns the packages of the plugin on a platform.
func list(ctx context.Context, top, system, architecture string) ([]listed, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-deps", "-json=Dir,Standard,Module", ".")
	cmd.Dir = top
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+system, "GOARCH="+architecture)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list for %s/%s: %w\n%s", system, architecture, err, stderr.String())
	}
	var all []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, fmt.Errorf("read the output of go list: %w", err)
		}
		all = append(all, p)
	}
}

// noticeFile matches the names of files with licences and notices.
var noticeFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([-.].*)?$`)

// notices reads the notices of a module, from the folders of its linked packages and the folders above them.
func notices(module string, packages []string) ([]notice, error) {
	found := map[string]string{}
	for _, dir := range packages {
		for {
			if err := addFiles(found, module, dir); err != nil {
				return nil, err
			}
			if dir == module || len(dir) <= len(module) {
				break
			}
			dir = filepath.Dir(dir)
		}
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(found)), licenceFile.MatchString) {
		if err := addHeaders(found, module, packages); err != nil {
			return nil, err
		}
	}
	var all []notice
	for _, name := range slices.Sorted(maps.Keys(found)) {
		all = append(all, notice{name, found[name]})
	}
	return all, nil
}

// addFiles adds the files with licences and notices of a folder.
func addFiles(found map[string]string, module, dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.IsDir() || !noticeFile.MatchString(f.Name()) || strings.HasSuffix(f.Name(), ".go") {
			continue
		}
		path := filepath.Join(dir, f.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(module, path)
		found[filepath.ToSlash(name)] = string(text)
	}
	return nil
}

// header matches the first comment of a file.
var header = regexp.MustCompile(`\A/\*[^*]*\*/`)

// addHeaders is for a module that has no licence file. It adds the licence at the top of the module's source files,
// once for each package. All files of a package must begin with the same text.
func addHeaders(found map[string]string, module string, packages []string) error {
	for _, dir := range packages {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			return err
		}
		var texts []string
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			texts = append(texts, string(header.Find(text)))
		}
		if texts = slices.Compact(texts); len(texts) == 1 && texts[0] != "" {
			name, _ := filepath.Rel(module, dir)
			found[filepath.ToSlash(filepath.Join(name, "LICENSE in each file"))] = texts[0]
		}
	}
	return nil
}
