// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// The builder is a recipe: what its steps share is one small type, and its files use each other little. These limits
// keep the concerns of a bake in their own packages.
const (
	mostBuildFields  = 12
	mostBuildMethods = 20
	mostBuildFiles   = 2 // that the type and its methods are in
	mostFileUses     = 150
)

// goFiles returns the syntax trees of the Go files of a folder by their names, without tests and generated files.
func goFiles(t *testing.T, folder string) map[string]*ast.File {
	t.Helper()
	files := map[string]*ast.File{}
	dir := filepath.Join(packertest.Root(), folder)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name := filepath.Base(path)
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") ||
			strings.HasSuffix(name, ".hcl2spec.go") {
			return err
		}
		files[name], err = parser.ParseFile(token.NewFileSet(), path, nil, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestBuilderStaysARecipe(t *testing.T) {
	fields, methods, in := 0, 0, map[string]bool{}
	for name, file := range goFiles(t, "builder/userdata") {
		for _, decl := range file.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if receiver(d) == "build" {
					methods++
					in[name] = true
				}
			case *ast.GenDecl:
				if n := structFields(d, "build"); n > 0 {
					fields += n
					in[name] = true
				}
			}
		}
	}
	if fields == 0 || fields > mostBuildFields {
		t.Errorf("build has %d fields, want 1 to %d", fields, mostBuildFields)
	}
	if methods > mostBuildMethods {
		t.Errorf("build has %d methods, want at most %d", methods, mostBuildMethods)
	}
	if len(in) > mostBuildFiles {
		t.Errorf("build and its methods are in %v, want at most %d files", slices.Sorted(maps.Keys(in)), mostBuildFiles)
	}
}

// receiver returns the type that a function is a method of, or "".
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	typ := f.Recv.List[0].Type
	if star, ok := typ.(*ast.StarExpr); ok {
		typ = star.X
	}
	if name, ok := typ.(*ast.Ident); ok {
		return name.Name
	}
	return ""
}

// structFields returns how many fields a struct has that a declaration declares.
func structFields(d *ast.GenDecl, name string) int {
	n := 0
	for _, spec := range d.Specs {
		typ, ok := spec.(*ast.TypeSpec)
		if !ok || typ.Name.Name != name {
			continue
		}
		if s, ok := typ.Type.(*ast.StructType); ok {
			for _, field := range s.Fields.List {
				n += max(1, len(field.Names))
			}
		}
	}
	return n
}

// TestBuilderFilesUseEachOtherLittle counts which files of the builder use something that another declares: a function,
// a type, a constant, a variable, or a method of a name that only one file has.
func TestBuilderFilesUseEachOtherLittle(t *testing.T) {
	files := goFiles(t, "builder/userdata")
	declaredIn := map[string]map[string]bool{} // files by names
	for name, file := range files {
		for _, declared := range declaredNames(file) {
			if declaredIn[declared] == nil {
				declaredIn[declared] = map[string]bool{}
			}
			declaredIn[declared][name] = true
		}
	}
	uses := map[[2]string]bool{}
	for name, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			id, ok := n.(*ast.Ident)
			if !ok || id.Obj != nil && id.Obj.Kind == ast.Var || len(declaredIn[id.Name]) != 1 ||
				declaredIn[id.Name][name] {
				return true
			}
			for other := range declaredIn[id.Name] {
				uses[[2]string{name, other}] = true
			}
			return true
		})
	}
	t.Logf("%d files, %d uses between them", len(files), len(uses))
	if len(uses) == 0 || len(uses) > mostFileUses {
		t.Errorf("%d uses between files, want 1 to %d", len(uses), mostFileUses)
	}
}

// declaredNames returns what a file declares: functions, methods, types, constants and variables.
func declaredNames(file *ast.File) []string {
	var names []string
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			names = append(names, d.Name.Name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					names = append(names, s.Name.Name)
				case *ast.ValueSpec:
					for _, id := range s.Names {
						names = append(names, id.Name)
					}
				}
			}
		}
	}
	return names
}
