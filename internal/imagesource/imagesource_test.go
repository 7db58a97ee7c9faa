// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/amibakery/packer-plugin-bakery/internal/cloudconfig"
	"github.com/amibakery/packer-plugin-bakery/internal/problem"
)

// write writes a source of files given by path. A path that ends with a slash is a folder.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if strings.HasSuffix(name, "/") {
			err = os.MkdirAll(path, 0o755)
		} else {
			err = os.WriteFile(path, []byte(files[name]), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// lines returns problems as they are shown, with dir written as DIR.
func lines(dir string, l problem.List) []string {
	var shown []string
	for _, p := range l {
		shown = append(shown, strings.ReplaceAll(p.String(), dir, "DIR"))
	}
	return shown
}

func TestReadReturnsEverything(t *testing.T) {
	dir := write(t, map[string]string{
		"cloudinit/60_app.yml":  "#cloud-config\npackages: [curl]\n",
		"cloudinit/10_first.sh": "#!/bin/sh\necho\n",
		"cloudinit/05_hook.cfg": "\n#cloud-boothook\n\n#!/bin/sh\necho\n",
		"cloudinit/.gitkeep":    "",
		"fs/etc/motd":           "hi\n",
		"script/install.sh":     "#!/bin/sh\n",
		"script/compile.sh":     "#!/bin/bash\n",
		"script/more.py":        "anything\n",
		"ami.env":               "NAME=web\nVERSION=1\n",
		"README.md":             "# Web\n\nThe web\nserver.\n\nMore.\n",
		"bake.pkr.hcl":          "",
		".gitignore":            "",
	})
	got, problems := Read(dir)
	if problems != nil {
		t.Fatalf("problems: %v", problems)
	}
	want := &Source{
		Dir: dir,
		Parts: []Part{
			{Name: "05_hook.cfg", Path: "cloudinit/05_hook.cfg", Priority: 5, Kind: Boothook,
				Content: []byte("\n#cloud-boothook\n\n#!/bin/sh\necho\n")},
			{Name: "10_first.sh", Path: "cloudinit/10_first.sh", Priority: 10, Kind: Script,
				Content: []byte("#!/bin/sh\necho\n")},
			{Name: "60_app.yml", Path: "cloudinit/60_app.yml", Priority: 60, Kind: CloudConfig,
				Content: []byte("#cloud-config\npackages: [curl]\n")},
		},
		FS:      filepath.Join(dir, "fs"),
		Compile: &ScriptFile{Path: "script/compile.sh", Content: []byte("#!/bin/bash\n"), Mode: 0o644},
		Install: &ScriptFile{Path: "script/install.sh", Content: []byte("#!/bin/sh\n"), Mode: 0o644},
		Env:     Env{Vars: map[string]string{"NAME": "web", "VERSION": "1"}, Names: []string{"NAME", "VERSION"}},
		Readme:  "The web server.",
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(Part{}, "Document")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	merged, _ := cloudconfig.Merge([]*cloudconfig.Document{got.Parts[2].Document})
	if want := "#cloud-config\npackages:\n  - curl\n"; string(merged.Config) != want {
		t.Errorf("the part was parsed to %q, want %q", merged.Config, want)
	}
}

func TestReadReports(t *testing.T) {
	const config = "#cloud-config\nruncmd: [ls]\n"
	for name, tt := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"nothing about the smallest source": {map[string]string{"fs/": ""}, nil},
		"an empty folder": {nil,
			[]string{"not an Image-Source: DIR has none of the folders cloudinit/, fs/ and script/"}},
		"a folder of something else": {map[string]string{"main.go": "", "cloud-init/": ""}, []string{
			"not an Image-Source: DIR has none of the folders cloudinit/, fs/ and script/",
			"cloud-init: warning: is not part of an Image-Source and is ignored: did you mean cloudinit?",
			"main.go: warning: is not part of an Image-Source and is ignored",
		}},
		"files for folders": {map[string]string{"fs/": "", "cloudinit": "", "ami.env/": "", "readme.md/": ""}, []string{
			"ami.env: is not a file", "cloudinit: is not a folder", "readme.md: is a folder, not a file",
		}},
		"misspelt scripts": {map[string]string{
			"script/instal.sh": "", "script/Install.sh": "", "script/install": "", "script/compile.py": "",
			"script/installer/x": "", "script/lib.sh": "",
		}, []string{
			"script/Install.sh: warning: is not run: did you mean install.sh?",
			"script/compile.py: warning: is not run: did you mean compile.sh?",
			"script/instal.sh: warning: is not run: did you mean install.sh?",
			"script/install: warning: is not run: did you mean install.sh?",
		}},
		"files beside a script": {map[string]string{"script/install.sh": "#!/bin/sh\n", "script/install.py": ""}, nil},
		"names without a priority": {map[string]string{
			"cloudinit/app.cfg": config, "cloudinit/5-app.yaml": config, "cloudinit/60-app.cfg": config,
			"cloudinit/60_app":  config,
			"cloudinit/60_.cfg": config, "cloudinit/70.CFG": config, "cloudinit/a.conf": config,
			"cloudinit/60_a.cfg~": config, "cloudinit/60_a\nb.cfg": config,
		}, []string{
			`cloudinit/"60_a\nb.cfg": has a name that cannot be shown: rename it to letters and digits, such as ` +
				`60_name.cfg`,
			"cloudinit/5-app.yaml: is not named NN_name.cfg or NN_name.yml, where NN is when it runs: rename it to " +
				"05_app.yml",
			"cloudinit/60-app.cfg: is not named NN_name.cfg or NN_name.yml, where NN is when it runs: rename it to " +
				"60_app.cfg",
			"cloudinit/60_.cfg: is not named NN_name.cfg or NN_name.yml, where NN is when it runs: rename it to " +
				"60_name.cfg",
			"cloudinit/60_a.cfg~: looks like a leftover of an editor: remove it",
			"cloudinit/60_app: is not named NN_name.cfg or NN_name.yml, where NN is when it runs: rename it to " +
				"60_app.cfg",
			"cloudinit/70.CFG: is not named NN_name.cfg or NN_name.yml, where NN is when it runs: rename it to " +
				"70_name.cfg",
			"cloudinit/a.conf: is not named NN_name.cfg or NN_name.yml, where NN is when it runs: rename it to " +
				"60_a.cfg",
			"cloudinit/app.cfg: is not named NN_name.cfg or NN_name.yml, where NN is when it runs: rename it to " +
				"60_app.cfg",
		}},
		"two endings": {map[string]string{"cloudinit/60_app.cfg": config, "cloudinit/60_app.yml": config}, []string{
			"cloudinit/60_app.yml: has the same name as cloudinit/60_app.cfg but for the ending, and both become " +
				"one part: rename one of them",
		}},
		"a folder among the parts": {map[string]string{"cloudinit/60_app.cfg/": ""},
			[]string{"cloudinit/60_app.cfg: is a folder, not a file"}},
		"first lines that cannot be baked": {map[string]string{
			"cloudinit/01_a.cfg": "packages: [curl]\n", "cloudinit/02_a.cfg": " \n",
			"cloudinit/03_a.cfg": "#cloud-config-archive\n", "cloudinit/04_a.cfg": "#cloud-config-jsonp\n",
			"cloudinit/05_a.cfg": "#include\nhttp://x\n", "cloudinit/06_a.cfg": "#part-handler\n",
			"cloudinit/07_a.cfg": "## template: jinja\n#cloud-config\n", "cloudinit/08_a.sh": config,
			"cloudinit/09_a.cfg": strings.Repeat("x", 50),
		}, []string{
			`cloudinit/01_a.cfg:1:1: begins with "packages: [curl]", which cloud-init would ignore: make the first ` +
				`line #cloud-config, or "#!" and an interpreter`,
			`cloudinit/02_a.cfg:1:1: is empty: remove it, or begin it with #cloud-config or a "#!" line`,
			"cloudinit/03_a.cfg:1:1: a cloud-config-archive is not taken apart: make each of its parts a file of " +
				"cloudinit/",
			"cloudinit/04_a.cfg:1:1: a JSON patch cannot be merged while compiling: write the result as a " +
				"#cloud-config part",
			"cloudinit/05_a.cfg:1:1: an include is fetched on the machine and cannot be checked: put its content here",
			`cloudinit/06_a.cfg:1:1: a part handler runs inside of cloud-init and cannot be reported on: use a ` +
				`"#!" part`,
			"cloudinit/07_a.cfg:1:1: jinja templates cannot be merged, they are rendered on the machine only: " +
				"write the values out, or use a \"#!\" part that asks `cloud-init query`",
			"cloudinit/08_a.sh: is cloud-config by its first line: rename it to 08_a.cfg",
			`cloudinit/09_a.cfg:1:1: begins with "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...", which cloud-init ` +
				`would ignore: make the first line #cloud-config, or "#!" and an interpreter`,
		}},
		"cloud-config in any case, behind blank lines": {
			map[string]string{"cloudinit/01_a.cfg": "\n \n#Cloud-Config\nhostname: x\n"}, nil,
		},
		"everything at once": {map[string]string{
			"cloudinit/10_a.cfg": "#cloud-config\nhostname: x\nhostname: y\n", "script/install.sh": "echo\n",
			"ami.env": "NAME=\n", "fs/bin": "", "setup.sh": "",
		}, []string{
			"ami.env:1:1: NAME is empty: give it a value or remove it",
			`cloudinit/10_a.cfg:3:1: key "hostname" is here a second time, first in line 2: YAML would silently ` +
				`drop the first, join them`,
			"fs/bin: is a file where every machine has a folder or a link to one: /bin would be lost",
			`script/install.sh:1:1: does not begin with a "#!" line, so the machine could not run it: make the ` +
				`first line "#!/bin/sh"`,
			"setup.sh: warning: is not part of an Image-Source and is ignored",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, tt.files)
			source, problems := Read(dir)
			if source == nil || source.Dir != dir {
				t.Errorf("source is %v", source)
			}
			if diff := cmp.Diff(tt.want, lines(dir, problems)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadReportsScripts(t *testing.T) {
	for name, tt := range map[string]struct {
		path, content string
		want          []string
	}{
		"sh":                         {"script/install.sh", "#!/bin/sh -e\necho\n", nil},
		"bash as bash":               {"script/compile.sh", "#!/usr/bin/env bash\na=(1 2)\n", nil},
		"python unread":              {"script/install.sh", "#!/usr/bin/python3\nif (\n", nil},
		"an archive behind a script": {"script/install.sh", "#!/bin/sh\nexit\n\xff\xfe(\n", nil},
		"no interpreter": {"cloudinit/60_a.sh", "#!\n",
			[]string{`cloudinit/60_a.sh:1:1: does not begin with a "#!" line, so the machine could not run it: ` +
				`make the first line "#!/bin/sh"`}},
		"a blank line above it": {"cloudinit/60_a.cfg", "\n#!/bin/sh\n",
			[]string{`cloudinit/60_a.cfg:1:1: does not begin with a "#!" line, so the machine could not run it: ` +
				`make the first line "#!/bin/sh"`}},
		"a byte order mark": {"cloudinit/60_a.cfg", "\ufeff#!/bin/sh\n",
			[]string{`cloudinit/60_a.cfg:1:1: begins with a byte order mark, which hides the "#!" from the kernel: ` +
				`save it as UTF-8 without BOM`}},
		"the line ends of Windows": {"script/install.sh", "#!/bin/sh\necho\r\n",
			[]string{"script/install.sh:2: has the line ends of Windows, which the machine would take for part of " +
				"each command: save it with LF line ends"}},
		"what sh cannot read": {"script/install.sh", "#!/bin/sh\necho é )\n",
			[]string{"script/install.sh:2:8: a command can only contain words and redirects; encountered `)`"}},
		"what only bash can read": {"script/compile.sh", "#!/bin/dash\na=(1)\n",
			[]string{`script/compile.sh:2:3: warning: arrays are a bash/mksh/zsh feature, but the "#!" line asks ` +
				`for dash: make it "#!/bin/bash"`}},
		"a folder for a script": {"script/install.sh/", "", []string{"script/install.sh: is a folder, not a file"}},
		"a boothook": {"cloudinit/01_a.cfg", "#cloud-boothook\n#!/bin/sh\necho )\n",
			[]string{"cloudinit/01_a.cfg:3:6: a command can only contain words and redirects; encountered `)`"}},
		"an empty boothook": {"cloudinit/01_a.cfg", "#cloud-boothook\n",
			[]string{"cloudinit/01_a.cfg:1:1: holds no script after #cloud-boothook"}},
		"a boothook without #!": {"cloudinit/01_a.cfg", "#cloud-boothook\n\necho\n",
			[]string{`cloudinit/01_a.cfg:3:1: what follows #cloud-boothook does not begin with "#!", so the ` +
				`machine could not run it: make it "#!/bin/sh"`}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{tt.path: tt.content})
			_, problems := Read(dir)
			if diff := cmp.Diff(tt.want, lines(dir, problems)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestReadReportsUnreadableFiles(t *testing.T) {
	dir := write(t, map[string]string{"fs/": "", "elsewhere/": ""})
	for name, target := range map[string]string{"cloudinit": "elsewhere", "ami.env": "elsewhere"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "script"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("install.sh", filepath.Join(dir, "script", "install.sh")); err != nil {
		t.Fatal(err)
	}
	_, problems := Read(dir)
	want := []string{
		"ami.env: is not a file but a link: put a copy here, a source is compiled from a copy of itself",
		"cloudinit: is not a folder but a link: put a copy here, a source is compiled from a copy of itself",
		"elsewhere: warning: is not part of an Image-Source and is ignored",
		"script/install.sh: is not a file but a link: put a copy here, a source is compiled from a copy of itself",
	}
	if diff := cmp.Diff(want, lines(dir, problems)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	missing := filepath.Join(dir, "missing")
	_, problems = Read(missing)
	if diff := cmp.Diff([]string{"read the Image-Source: open DIR: no such file or directory"},
		lines(missing, problems)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFirstParagraph(t *testing.T) {
	for name, tt := range map[string]struct{ text, want string }{
		"of nothing":            {"", ""},
		"of headings":           {"# A\n\n## B\n", ""},
		"below a heading":       {"# A\nText\nof two lines.\n## B\nmore\n", "Text of two lines."},
		"below an underlining":  {"Title\n=====\r\n\r\nText.\r\n", "Text."},
		"below front matter":    {"---\ntitle: x\n---\nText.\n", "Text."},
		"that is not closed":    {"---\ntitle: x\n", "title: x"},
		"behind a BOM":          {"\ufeffText.\n", "Text."},
		"until the first blank": {"\n\nOne.\n\nTwo.\n", "One."},
	} {
		t.Run(name, func(t *testing.T) {
			if got := firstParagraph(tt.text); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
