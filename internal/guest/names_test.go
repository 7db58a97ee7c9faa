// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// sameProgram compares two Python programs: they may differ in names alone, and each name of one always stands for the
// same name of the other.
const sameProgram = `
import ast, builtins, sys
there, back = {}, {}
def same(a, b, where):
    if isinstance(a, ast.AST):
        assert type(a) is type(b), (where, a, b)
        for field, value in ast.iter_fields(a):
            same(value, getattr(b, field), (type(a).__name__, field))
    elif isinstance(a, list):
        assert len(a) == len(b), (where, a, b)
        for x, y in zip(a, b):
            same(x, y, where)
    elif isinstance(a, str) and where in (("Name", "id"), ("FunctionDef", "name"), ("ClassDef", "name"), ("arg", "arg"),
            ("ExceptHandler", "name"), ("Global", "names"), ("alias", "name")):
        assert there.setdefault(a, b) == b and back.setdefault(b, a) == a, (where, a, b)
        assert a == b or not hasattr(builtins, a), a
    else:
        assert a == b, (where, a, b)
same(*[ast.parse(open(name).read()) for name in sys.argv[1:]], where=None)
imported = [a.asname or a.name for n in ast.walk(ast.parse(open(sys.argv[1]).read()))
    if isinstance(n, ast.Import) or isinstance(n, ast.ImportFrom) and n.module not in ("cloud_init", "cloud_keys")
    for a in n.names]
assert all(there.get(name, name) == name for name in imported), imported
print(sum(a != b for a, b in there.items()))
`

// TestShortPythonProgramsAreTheSame: what is in user data must do what its source does.
func TestShortPythonProgramsAreTheSame(t *testing.T) {
	for name, source := range pythonSources {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			long, short := filepath.Join(dir, "long"), filepath.Join(dir, "short")
			for file, content := range map[string][]byte{long: source, short: pythonProgram(source)} {
				if err := os.WriteFile(file, content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			out, err := exec.CommandContext(t.Context(), "python3", "-c", sameProgram, long, short).CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s\n%s", err, out, pythonProgram(source))
			}
			t.Logf("%s of its names are shorter", out)
		})
	}
}

// TestSharedNamesStay: what one program imports from another must have the same name in both.
func TestSharedNamesStay(t *testing.T) {
	sources, err := filepath.Glob("program/*.py")
	if err != nil || len(sources) == 0 {
		t.Fatalf("%q, %v", sources, err)
	}
	var modules []string
	for _, file := range sources {
		modules = append(modules, strings.TrimSuffix(filepath.Base(file), ".py"))
	}
	imports := regexp.MustCompile(`(?m)^ *from (\w+) import ([\w, ]+)|^ *import ([\w, ]+)`)
	for _, file := range sources {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range imports.FindAllStringSubmatch(string(source), -1) {
			if !slices.Contains(modules, m[1]) {
				continue
			}
			for _, name := range pythonName.FindAllString(m[2], -1) {
				if !slices.Contains(sharedNames, name) {
					t.Errorf("%s imports %s from %s: add it to sharedNames", file, name, m[1])
				}
			}
		}
	}
}

// TestNamesThatOthersCallStay: recorded provisioners, the manifest of fs/ and the list of the clean-up's sections call
// functions by their names.
func TestNamesThatOthersCallStay(t *testing.T) {
	program := string(shorten(strip(programSource)))
	for _, name := range append([]string{"bakery_dir"}, recordedNames...) {
		if name != "bakery_pause" && !strings.Contains(program, "\n"+name+"() {") { // that is a variable
			t.Errorf("there is no %s", name)
		}
	}
	for _, section := range Sections {
		if !strings.Contains(program, "\n"+shortCleanUpNames+section+"() {") {
			t.Errorf("there is no function for %s", section)
		}
	}
	for _, name := range programName.FindAllString(program, -1) {
		if name != "bakery_dir" && !slices.Contains(recordedNames, name) {
			t.Errorf("%s is not short", name)
		}
	}
	if !strings.Contains(program, `"`+shortCleanUpNames+"$") {
		t.Error("the sections of the clean-up are not called")
	}
}

// TestShortNamesAreUnique: two functions of one name would be one.
func TestShortNamesAreUnique(t *testing.T) {
	long := map[string]string{}
	for name, short := range shortNames() {
		if other := long[short]; other != "" {
			t.Errorf("%s and %s are both %s", name, other, short)
		}
		long[short] = name
	}
	if program := string(programSource); len(shortNames()) < 100 { // there are some 200
		t.Errorf("%d names of %d bytes", len(shortNames()), len(program))
	}
}
