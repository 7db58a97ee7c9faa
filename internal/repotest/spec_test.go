// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// option is the HCL spec of an option: its kind (AttrSpec, BlockSpec, BlockListSpec), the type of an attribute, and the
// options of a block.
type option struct {
	Kind  string
	Type  string
	Block map[string]option
}

// specs reads the options of components from the source that packer-sdc generates (*.hcl2spec.go), so that the plugin
// need not be compiled.
type specs struct {
	modules map[string]string // directories by module path
}

// peerModules are the modules with packages of amazon-ebs' options, as tools/peer/go.mod pins them.
var peerModules = []string{"github.com/hashicorp/packer-plugin-amazon", "github.com/hashicorp/packer-plugin-sdk"}

// readableSpecs finds the modules, and downloads those that are not in the cache.
func readableSpecs(t *testing.T) specs {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), "go", append([]string{"mod", "download", "-json"}, peerModules...)...)
	cmd.Dir = filepath.Join(packertest.Root(), "tools", "peer")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go mod download in tools/peer: %v\n%s", err, out)
	}
	s := specs{modules: map[string]string{module: packertest.Root()}}
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var m struct{ Path, Dir string }
		if err := decoder.Decode(&m); err != nil {
			t.Fatal(err)
		}
		s.modules[m.Path] = m.Dir
	}

	return s
}

// of returns the options of a generated type of a package.
func (s specs) of(t *testing.T, pkg, flat string) map[string]option {
	t.Helper()

	files, err := filepath.Glob(filepath.Join(s.dir(t, pkg), "*.hcl2spec.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if list := specOf(file, flat); list != nil {
			return s.options(t, pkg, file, list)
		}
	}
	t.Fatalf("%s has no options of %s", pkg, flat)

	return nil
}

// dir returns the directory with the source of a package.
func (s specs) dir(t *testing.T, pkg string) string {
	t.Helper()

	for path, dir := range s.modules {
		if rest, ok := strings.CutPrefix(pkg, path+"/"); ok {
			return filepath.Join(dir, filepath.FromSlash(rest))
		}
	}
	t.Fatalf("%s belongs to none of %v", pkg, peerModules)

	return ""
}

// specOf returns the map literal in a generated type's method HCL2Spec; nil when the file has none.
func specOf(file *ast.File, flat string) *ast.CompositeLit {
	for _, decl := range file.Decls {
		method, ok := decl.(*ast.FuncDecl)
		if !ok || method.Name.Name != "HCL2Spec" || method.Recv == nil || source(method.Recv.List[0].Type) != "*"+flat {
			continue
		}
		if set, ok := method.Body.List[0].(*ast.AssignStmt); ok {
			list, _ := set.Rhs[0].(*ast.CompositeLit)
			return list
		}
	}

	return nil
}

// options reads elements such as `"name": &hcldec.AttrSpec{...}`.
func (s specs) options(t *testing.T, pkg string, file *ast.File, list *ast.CompositeLit) map[string]option {
	t.Helper()

	options := map[string]option{}
	for _, element := range list.Elts {
		pair, _ := element.(*ast.KeyValueExpr)
		name, err := strconv.Unquote(source(pair.Key))
		if err != nil {
			t.Fatal(err)
		}
		spec, _ := pair.Value.(*ast.UnaryExpr).X.(*ast.CompositeLit)
		o := option{Kind: strings.TrimPrefix(source(spec.Type), "hcldec.")}
		for _, element := range spec.Elts {
			field, _ := element.(*ast.KeyValueExpr)
			switch source(field.Key) {
			case "Type":
				o.Type = source(field.Value)
			case "Nested":
				o.Block = s.nested(t, pkg, file, source(field.Value))
			}
		}
		options[name] = o
	}

	return options
}

// nested returns the options of `hcldec.ObjectSpec((*common.FlatTag)(nil).HCL2Spec())`.
func (s specs) nested(t *testing.T, pkg string, file *ast.File, expression string) map[string]option {
	t.Helper()

	flat, ok := strings.CutPrefix(expression, "hcldec.ObjectSpec((*")
	flat, _, found := strings.Cut(flat, ")(nil).HCL2Spec())")
	if !ok || !found {
		t.Fatalf("%s: cannot follow %s", pkg, expression)
	}
	local, name, elsewhere := strings.Cut(flat, ".")
	if !elsewhere {
		return s.of(t, pkg, flat)
	}
	for _, i := range file.Imports {
		path, _ := strconv.Unquote(i.Path.Value)
		if path[strings.LastIndex(path, "/")+1:] == local {
			return s.of(t, path, name)
		}
	}
	t.Fatalf("%s: nothing imported is called %s", pkg, local)

	return nil
}

// source returns the source text of an expression.
func source(node ast.Node) string {
	var text strings.Builder
	_ = printer.Fprint(&text, token.NewFileSet(), node) // a Builder returns no error

	return text.String()
}
