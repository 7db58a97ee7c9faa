// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/imagesource"
	"github.com/amibakery/packer-plugin-bakery/internal/problem"
	"github.com/amibakery/packer-plugin-bakery/internal/scratch"
)

// Compile compiles the Image-Source o.Source to a bundle in o.Target. When it fails or ctx ends, the target is
// unchanged and no temporary files are left.
func Compile(ctx context.Context, o Options) (_ *Bundle, errs error) {
	o = o.withDefaults()
	in, err := o.gather(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { errs = errors.Join(errs, in.discard()) }()
	b := &Bundle{Dir: o.Target, Warnings: in.warnings}
	if err := b.write(ctx, o, in); err != nil {
		return nil, err
	}
	return b, nil
}

// gather checks everything, runs compile.sh and returns the input of the bundle. The caller calls discard on it.
func (o Options) gather(ctx context.Context) (in input, err error) {
	src, problems := read(o.withDefaults())
	if o.Target == "" {
		problems.Errorf("", 0, 0, "name the target directory for the bundle")
	}
	if err := problems.Err(); err != nil {
		return in, fmt.Errorf("check the Image-Source %s:\n%w", o.Source, err)
	}
	in = input{src: src, env: src.Env, install: src.Install}
	if src.Compile != nil {
		work, err := newWorkFolder(o.Source)
		if err != nil {
			return in, err
		}
		if in, problems, err = prepare(ctx, o, src, work.Path); err != nil {
			return in, errors.Join(err, removeWorkFolder(work))
		}
		in.work = work
		problems = append(problems, lostInCopy(src.FS, work.Path)...)
	}
	for _, p := range problems.Warnings() {
		in.warnings = append(in.warnings, p.String())
		if o.Output != nil {
			o.Output(p.String())
		}
	}
	return in, nil
}

// lostInCopy returns the warnings of what the work folder does not have of fs/, for the files that it still has.
func lostInCopy(files, work string) problem.List {
	if files == "" {
		return nil
	}
	return slices.DeleteFunc(imagesource.CheckLost(files), func(p problem.Problem) bool {
		_, err := os.Lstat(filepath.Join(work, filepath.FromSlash(p.File)))
		return err != nil
	})
}

// input is what a bundle is made from.
type input struct {
	src     *imagesource.Source // the Image-Source, or the work folder that compile.sh has changed
	env     imagesource.Env     // ami.env
	printed imagesource.Env     // by compile.sh
	install *imagesource.ScriptFile

	work     *scratch.Dir // the work folder; nil when there is no compile.sh
	warnings []string
}

// discard removes the work folder.
func (in input) discard() error {
	if in.work == nil {
		return nil
	}
	return removeWorkFolder(in.work)
}

// prepare runs compile.sh in the work folder, and reads the work folder again. It returns the problems that the folder
// then has.
func prepare(ctx context.Context, o Options, src *imagesource.Source, work string) (input, problem.List, error) {
	printed, err := runScript(ctx, o, src.Compile, work)
	if err != nil {
		return input{}, nil, err
	}
	for _, name := range printed.Names {
		if reserved(name) {
			return input{}, nil, fmt.Errorf("run %s: it printed %s=, but names that begin with %s are for the "+
				"bundle's own lines in %s",
				compilePath, name, reservedPrefix, VarsName)
		}
	}
	changed, problems := readSource(work, o.Ignored)
	if o.Strict {
		problems = problems.Promoted()
	}
	problems.Sort()
	if err := problems.Err(); err != nil {
		return input{}, nil, fmt.Errorf("check what %s made of the Image-Source %s:\n%w", compilePath, o.Source, err)
	}
	install := src.Install
	if changed.Install != nil {
		if install != nil {
			return input{}, nil, fmt.Errorf("run %s: it wrote %s, which the Image-Source has too; remove one of them",
				compilePath, installPath)
		}
		install = changed.Install
	}
	return input{src: changed, env: changed.Env, printed: printed, install: install}, problems, nil
}

// write makes all files of the bundle in a temporary directory, and moves them to the target when they are complete.
func (b *Bundle) write(ctx context.Context, o Options, in input) (err error) {
	target, err := newTargetWriter(o.Target)
	if err != nil {
		return fmt.Errorf("write the bundle: %w", err)
	}
	defer func() { err = errors.Join(err, target.discard()) }()

	program, problems := assemble(in.src, in.install)
	if err := problems.Err(); err != nil {
		return err
	}
	var fsFile File
	if in.src.FS != "" {
		if fsFile, err = target.archive(ctx, in.src.FS); err != nil {
			return fmt.Errorf("archive fs: %w", err)
		}
		if program.Files, err = b.addFS(target, o, fsFile); err != nil {
			return err
		}
	}
	document, err := guest.Document(program)
	if err != nil {
		return fmt.Errorf("make the user data: %w", err)
	}
	if b.UserData, err = target.add(UserDataName, guest.Compress(document)); err != nil {
		return fmt.Errorf("write the user data: %w", err)
	}
	b.NeedsStaging = b.needsStaging()
	v := b.vars(o, in, fsFile)
	if err := v.checkSize(); err != nil {
		return err
	}
	if _, err := target.add(VarsName, v.render()); err != nil {
		return fmt.Errorf("write the variables: %w", err)
	}
	b.Env, b.Name, b.Version = v.values, v.values["NAME"], v.values["VERSION"]
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	return target.commit()
}

// addFS decides whether fs/ is in the user data or in fs.tgz.
func (b *Bundle) addFS(target *targetWriter, o Options, fsFile File) (guest.Files, error) {
	if fsFile.Size > o.InlineLimit {
		b.FS = fsFile
		return guest.Files{SHA256: fsFile.SHA256, Size: fsFile.Size, S3URL: o.S3URL, Region: o.Region}, nil
	}
	content, err := os.ReadFile(target.path(FSName))
	if err != nil {
		return guest.Files{}, fmt.Errorf("read the archive of fs: %w", err)
	}
	b.FSInline = true
	target.drop(FSName)
	return guest.Files{Inline: content}, nil
}

// vars returns the lines of vars.env. A value that compile.sh printed replaces that of ami.env, and the values of the
// options replace both.
func (b *Bundle) vars(o Options, in input, fsFile File) *vars {
	v := &vars{}
	setOptions := func() {
		v.set(varRegion, o.Region)
		if b.FS.Path != "" && o.S3URL != "" {
			v.set(varS3URL, o.S3URL)
		}
	}
	setOptions() // so that they are the first lines
	v.setAll(in.env)
	v.setAll(in.printed)
	setOptions()
	v.setFiles(b, fsFile)
	return v
}
