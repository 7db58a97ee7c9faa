// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"cmp"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/imagesource"
	"github.com/amibakery/packer-plugin-bakery/internal/problem"
	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// Check reports everything that is wrong with the options and the Image-Source, as far as it can find that out without
// running or writing anything. It is for the validation of a template, when the target may not be known yet.
func Check(o Options) problem.List {
	_, problems := read(o.withDefaults())
	return problems
}

func (o Options) withDefaults() Options {
	o.Region = cmp.Or(o.Region, DefaultRegion)
	o.InlineLimit = cmp.Or(o.InlineLimit, DefaultInlineLimit)
	return o
}

// read checks the options and reads the Image-Source. When a problem is an error, the source may be nil.
func read(o Options) (*imagesource.Source, problem.List) {
	problems := o.check()
	if o.Source == "" {
		problems.Errorf("", 0, 0, "name the Image-Source directory")
		return nil, problems
	}
	src, found := readSource(o.Source, o.Ignored)
	// This is checked here and not in the work folder, where the generated parts do exist.
	found = append(found, checkGeneratedNames(src)...)
	problems = append(problems, locate(o.Source, found)...)
	if o.Strict {
		problems = problems.Promoted()
	}
	problems.Sort()
	return src, problems
}

// readSource reads an Image-Source or a work folder, without the generated parts, and checks that it can be rendered.
func readSource(dir string, ignored []string) (*imagesource.Source, problem.List) {
	src, problems := imagesource.Read(dir, ignored...)
	problems = withoutGenerated(src, problems)
	for _, name := range src.Env.Names {
		if reserved(name) {
			problems.Errorf("ami.env", 0, 0, "%s: names that begin with %s are for the bundle's own lines in %s; "+
				"name it otherwise",
				name, reservedPrefix, VarsName)
		}
	}
	if problems.Err() != nil {
		return src, problems // the following checks would only repeat them
	}
	program, more := assemble(src, src.Install)
	problems = append(problems, more...)
	if more.Err() == nil {
		if _, err := guest.Document(program); err != nil {
			problems.Errorf("", 0, 0, "%v", err)
		}
	}
	return src, problems
}

// locate adds the directory of the Image-Source to the paths, as editors need them.
func locate(dir string, problems problem.List) problem.List {
	located := slices.Clone(problems)
	for i := range located {
		located[i].File = filepath.Join(dir, located[i].File)
	}
	return located
}

var (
	regionPattern = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)+$`)
	s3URLPattern  = regexp.MustCompile(`^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\x00-\x20]*[^\x00-\x20/]$`)
)

// check checks the options, but not the Image-Source.
func (o Options) check() problem.List {
	var problems problem.List
	errorf := func(format string, args ...any) { problems.Errorf("", 0, 0, format, args...) }
	if o.Target != "" && o.Source != "" && inside(o.Target, o.Source) {
		errorf("the target %s is inside the Image-Source %s, and would become part of it; choose one beside it",
			o.Target, o.Source)
	}
	if !regionPattern.MatchString(o.Region) {
		errorf("the region %q is not the name of an AWS region, such as %s", o.Region, DefaultRegion)
	}
	if o.S3URL != "" && !s3URLPattern.MatchString(o.S3URL) {
		errorf("the S3 URL %q is not of the form s3://bucket/path/to/fs.tgz", o.S3URL)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Env)) {
		if !shell.IsVariableName(name) {
			errorf("the environment variable %q for compile.sh is not a name a shell takes", name)
		}
		if strings.ContainsRune(o.Env[name], 0) {
			errorf("the environment variable %s for compile.sh has a NUL byte in its value", name)
		}
	}
	return problems
}

// inside reports whether path is dir or below it. It follows symbolic links, for the part of the path that exists.
func inside(path, dir string) bool {
	relative, err := filepath.Rel(realPath(dir), realPath(path))
	return err == nil && relative != ".." && !strings.HasPrefix(relative, ".."+string(filepath.Separator))
}

// realPath resolves the links of the part of path that exists.
func realPath(path string) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	rest := ""
	for p := absolute; ; p = filepath.Dir(p) {
		if resolved, err := filepath.EvalSymlinks(p); err == nil {
			return filepath.Join(resolved, rest)
		}
		if p == filepath.Dir(p) {
			return absolute
		}
		rest = filepath.Join(filepath.Base(p), rest)
	}
}
