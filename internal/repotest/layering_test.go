// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

const module = "github.com/amibakery/packer-plugin-bakery"

var update = flag.Bool("update", false, "write the table of docs/architecture.md")

// sdks are the modules of each SDK, by the word for it in the table.
var sdks = map[string][]string{
	"packer": {"github.com/hashicorp/", "github.com/zclconf/"},
	"aws":    {"github.com/aws/"},
}

// listedPackage is the output of go list for a package of this repository.
type listedPackage struct {
	ImportPath, Doc                          string
	Imports, TestImports, XTestImports, Deps []string
}

// path returns the path of the package below the module, "." for the module itself.
func (p *listedPackage) path() string { return below(p.ImportPath) }

// below returns an import path of this repository without the module.
func below(importPath string) string {
	if importPath == module {
		return "."
	}
	return strings.TrimPrefix(importPath, module+"/")
}

// own returns the imports that are packages of this repository, as paths below the module.
func own(imports []string) []string {
	var paths []string
	for _, path := range imports {
		if path == module || strings.HasPrefix(path, module+"/") {
			paths = append(paths, below(path))
		}
	}
	return paths
}

// listPackages returns all packages of this repository, with the files of all build tags.
var listPackages = sync.OnceValues(func() ([]listedPackage, error) {
	fields := "-json=ImportPath,Doc,Imports,TestImports,XTestImports,Deps"
	cmd := exec.Command("go", "list", "-tags", "peer,vm", fields, "./...")
	cmd.Dir = packertest.Root()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.String())
	}
	var packages []listedPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); decoder.More(); {
		var p listedPackage
		if err := decoder.Decode(&p); err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
	return packages, nil
})

func packages(t *testing.T) []listedPackage {
	t.Helper()

	all, err := listPackages()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// matches reports whether a path matches a pattern: the path itself, or with /... at its end, everything below too.
func matches(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	dir, isTree := strings.CutSuffix(pattern, "/...")
	return path == dir || isTree && strings.HasPrefix(path, dir+"/")
}

// matchesImport reports whether a path matches one of a list of import patterns, as layer.imports has them.
func matchesImport(patterns, path string) bool {
	return slices.ContainsFunc(strings.Fields(patterns), func(pattern string) bool {
		if top, ok := strings.CutPrefix(pattern, "./"); ok {
			return matches(top, path)
		}
		return matches("internal/"+pattern, path)
	})
}

// layersOf returns the rows of a package.
func layersOf(path string) []layer {
	return slices.DeleteFunc(slices.Clone(layers), func(l layer) bool { return !matches(l.pkg, path) })
}

func TestEveryPackageHasOneRowOfTheLayers(t *testing.T) {
	used := map[string]bool{}
	for _, p := range packages(t) {
		rows := layersOf(p.path())
		if len(rows) != 1 {
			t.Errorf("%s has %d rows of layers, want 1", p.path(), len(rows))
		}
		for _, l := range rows {
			used[l.pkg] = true
		}
	}
	for _, l := range layers {
		if !used[l.pkg] {
			t.Errorf("layers has a row for %s, which does not exist", l.pkg)
		}
	}
}

func TestPackagesImportOnlyWhatTheirLayerAllows(t *testing.T) {
	for _, p := range packages(t) {
		for _, l := range layersOf(p.path()) {
			for _, path := range own(p.Imports) {
				if !matchesImport(l.imports, path) {
					t.Errorf("%s may not import %s", p.path(), path)
				}
			}
		}
	}
}

func TestPackagesUseOnlyTheSDKsOfTheirLayer(t *testing.T) {
	imports := map[string][]string{} // of each package of this repository
	for _, p := range packages(t) {
		imports[p.ImportPath] = p.Imports
	}
	for _, p := range packages(t) {
		for _, l := range layersOf(p.path()) {
			// The SDK of Packer itself imports that of AWS, so only the imports of this repository count, unless the
			// package is pure.
			used := slices.Clone(p.Imports)
			for _, dep := range p.Deps {
				used = append(used, imports[dep]...)
			}
			if l.sdks == "" {
				used = p.Deps
			}
			for sdk, prefixes := range sdks {
				i := slices.IndexFunc(used, func(path string) bool { return hasPrefix(path, prefixes) })
				if i >= 0 && !slices.Contains(strings.Fields(l.sdks), sdk) {
					t.Errorf("%s may not use the SDK of %s, but uses %s", p.path(), sdk, used[i])
				}
			}
		}
	}
}

func hasPrefix(path string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

func TestNoPackageHasAProhibitedImport(t *testing.T) {
	for _, p := range packages(t) {
		for _, rule := range prohibited {
			isException := func(pattern string) bool { return matches(pattern, p.path()) }
			if !matches(rule.from, p.path()) || slices.ContainsFunc(rule.except, isException) {
				continue
			}
			imports := own(p.Imports)
			if rule.tests {
				imports = append(imports, own(slices.Concat(p.TestImports, p.XTestImports))...)
			}
			for _, path := range imports {
				if matchesImport(rule.imports, path) {
					t.Errorf("%s may not import %s", p.path(), path)
				}
			}
		}
	}
}

func TestThePluginDoesNotContainTheLab(t *testing.T) {
	for _, p := range packages(t) {
		if p.path() != "." {
			continue
		}
		for _, path := range own(p.Deps) {
			if matches("internal/lab/...", path) {
				t.Errorf("the plugin reaches %s", path)
			}
		}
		return
	}
	t.Error("the plugin's own package is not in the list")
}

// The layering rules would allow everything if matching were wrong.
func TestMatches(t *testing.T) {
	for _, c := range []struct {
		patterns, path string
		want           bool
	}{
		{"shell", "internal/shell", true},
		{"shell", "internal/shellx", false},
		{"lab/...", "internal/lab", true},
		{"lab/...", "internal/lab/cloud", true},
		{"lab/...", "internal/labels", false},
		{"...", "internal/lab/cloud", true},
		{"...", "builder/userdata", false},
		{"guest ./builder/...", "builder/userdata", true},
		{"./builder/...", "internal/builder", false},
		{"", "internal/shell", false},
	} {
		if got := matchesImport(c.patterns, c.path); got != c.want {
			t.Errorf("%q matches %s: %v", c.patterns, c.path, got)
		}
	}
}

// The table of the architecture page is between these lines.
const (
	tableBegin = "<!-- layers: written by go test ./internal/repotest -run TestTheArchitecturePage -update -->\n"
	tableEnd   = "<!-- end of layers -->\n"
)

func TestTheArchitecturePageShowsTheLayers(t *testing.T) {
	const page = "docs/architecture.md"
	text := read(t, page)
	before, rest, ok := strings.Cut(text, tableBegin)
	got, after, found := strings.Cut(rest, tableEnd)
	if !ok || !found {
		t.Fatalf("%s has no lines\n%s%s", page, tableBegin, tableEnd)
	}
	want := layersTable(packages(t))
	if *update {
		content := before + tableBegin + want + tableEnd + after
		if err := os.WriteFile(filepath.Join(packertest.Root(), page), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the table of %s (-layers +page), write it with -update:\n%s", page, diff)
	}
}

// layersTable returns layers as a table in Markdown. The purpose of a package is the first sentence of its comment.
func layersTable(all []listedPackage) string {
	docs := map[string]string{}
	for _, p := range all {
		docs[p.path()] = p.Doc
	}
	var b strings.Builder
	b.WriteString("| package | purpose | may import, of this repository | may use |\n| --- | --- | --- | --- |\n")
	for _, l := range layers {
		name := strings.TrimSuffix(l.pkg, "/...")
		doc := strings.TrimPrefix(docs[name], "Package "+name[strings.LastIndex(name, "/")+1:]+" ")
		doc = strings.TrimRight(doc, ".:")
		var imports []string
		for pattern := range strings.FieldsSeq(l.imports) {
			imports = append(imports, "`"+strings.TrimPrefix("internal/"+pattern, "internal/./")+"`")
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", l.pkg, doc, strings.Join(imports, ", "), sdkNames(l.sdks))
	}
	return b.String()
}

// sdkNames returns the words of the table for people.
func sdkNames(words string) string {
	var names []string
	for word := range strings.FieldsSeq(words) {
		names = append(names, map[string]string{"packer": "Packer", "aws": "AWS"}[word])
	}
	return strings.Join(names, ", ")
}
