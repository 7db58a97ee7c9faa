// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package imagesource reads and checks an Image-Source, the directory that describes an image:
//
//	cloudinit/NN_name.cfg     cloud-config parts, scripts and boothooks, run in the order of their names
//	fs/                       files of the image, with their paths below /
//	script/compile.sh         runs when the Image-Source is compiled
//	script/install.sh         runs on the machine after fs/ is in place
//	ami.env                   NAME, VERSION and more, as shell assignments
//	readme.md                 description
//
// It only reads and runs nothing, and may not know AWS or Packer. It reports all problems, not only the first, with
// paths relative to the directory.
package imagesource

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/inputfile"
	"github.com/amibakery/packer-plugin-bakery/internal/problem"
)

// Source is an Image-Source.
type Source struct {
	Dir     string
	Parts   []Part      // sorted by name, which is the order they run in
	FS      string      // path of fs/, empty when there is none
	Compile *ScriptFile // script/compile.sh, nil when there is none
	Install *ScriptFile // script/install.sh, nil when there is none
	Env     Env         // ami.env
	Readme  string      // first paragraph of readme.md as one line, empty when there is none
}

// The names of the layout.
const (
	partsDir  = "cloudinit"
	filesDir  = "fs"
	scriptDir = "script"
	envFile   = "ami.env"
	readme    = "readme.md"
)

var layout = []string{partsDir, filesDir, scriptDir, envFile, readme}

// Read reads the Image-Source in dir and checks all of it. The source is never nil: with problems, it contains what
// could be read. ignored names what is a warning instead of an error; see [cloudconfig.Options].
func Read(dir string, ignored ...string) (*Source, problem.List) {
	r := &reader{dir: dir, source: &Source{Dir: dir}, ignored: ignored}
	if r.top() {
		r.parts()
		r.scripts()
		r.env()
		r.readme()
		if r.source.FS != "" {
			r.problems = append(r.problems, checkTree(r.source.FS, filesDir, dir)...)
		}
	}
	r.problems.Sort()
	return r.source, r.problems
}

// reader is the state of one Read.
type reader struct {
	dir      string
	ignored  []string
	source   *Source
	has      map[string]bool // names of the layout that exist with the right type
	problems problem.List

	readmeName string // the name of readme.md with its actual case, empty when there is none
}

func (r *reader) errorf(path, format string, args ...any) {
	r.problems.Errorf(path, 0, 0, format, args...)
}

func (r *reader) warnf(path, format string, args ...any) {
	r.problems.Warnf(path, 0, 0, format, args...)
}

// top reads the directory itself. It returns false when the directory is not an Image-Source.
func (r *reader) top() bool {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		r.errorf("", "read the Image-Source: %v", err)
		return false
	}
	r.has = map[string]bool{}
	for _, e := range entries {
		r.entry(e)
	}
	if r.has[filesDir] {
		r.source.FS = filepath.Join(r.dir, filesDir)
	}
	if !r.has[partsDir] && !r.has[filesDir] && !r.has[scriptDir] {
		r.errorf("", "not an Image-Source: %s has none of the folders cloudinit/, fs/ and script/", r.dir)
		return false
	}
	return true
}

// entry checks one name of the top level.
func (r *reader) entry(e fs.DirEntry) {
	name := e.Name()
	if strings.EqualFold(name, readme) {
		r.readmeName = name
		return
	}
	if !slices.Contains(layout, name) {
		r.unknown(name)
		return
	}
	switch wantDir := name != envFile; {
	case wantDir && !e.IsDir():
		r.errorf(name, "is not a folder%s", linkRemedy(e.Type()))
	case !wantDir && !e.Type().IsRegular():
		r.errorf(name, "is not a file%s", linkRemedy(e.Type()))
	default:
		r.has[name] = true
	}
}

func linkRemedy(mode fs.FileMode) string {
	if mode&fs.ModeSymlink != 0 {
		return " but a link: put a copy here, a source is compiled from a copy of itself"
	}
	return ""
}

// unknown warns of a name that is not part of the layout. It ignores hidden files, which belong to tools such as git,
// and templates, which may be in the same directory.
func (r *reader) unknown(name string) {
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".pkr.hcl") || strings.HasSuffix(name, ".pkrvars.hcl") {
		return
	}
	if nearest := problem.Nearest(name, layout); nearest != "" {
		r.warnf(name, "is not part of an Image-Source and is ignored: did you mean %s?", nearest)
		return
	}
	r.warnf(name, "is not part of an Image-Source and is ignored")
}

// maxFile bounds the files of a source that are read into memory. What is larger belongs into fs/.
const maxFile = 16 << 20

// file reads a regular file of the source; path is relative to it. It follows no link: what a message quotes of it must
// not be of a file elsewhere. It returns false when the file does not exist, or cannot be read, which it reports.
func (r *reader) file(path string) ([]byte, fs.FileMode, bool) {
	content, info, err := inputfile.ReadOwn(filepath.Join(r.dir, filepath.FromSlash(path)), maxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, false
	}
	if kind, ok := errors.AsType[*inputfile.KindError](err); ok {
		if remedy := linkRemedy(kind.Mode); remedy != "" {
			r.errorf(path, "is not a file%s", remedy)
		} else {
			r.errorf(path, "is %s, not a file", inputfile.Kind(kind.Mode))
		}
		return nil, 0, false
	}
	if err != nil {
		r.errorf(path, "read the file: %v", cause(err))
		return nil, 0, false
	}
	return content, info.Mode(), true
}

// cause returns an error without the path, which the message already contains.
func cause(err error) error {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return pathErr.Err
	}
	return err
}

func (r *reader) env() {
	if !r.has[envFile] {
		return
	}
	if content, _, ok := r.file(envFile); ok {
		env, problems := ParseEnv(envFile, content)
		r.source.Env = env
		r.problems = append(r.problems, problems...)
	}
}
