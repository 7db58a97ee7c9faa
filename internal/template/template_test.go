// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package template

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var web = Source{Type: "bakery-userdata", Name: "web"}

// describe returns provisioners as one line each: the type, its variables with their places, and its true settings.
func describe(found []Provisioner) string {
	var s strings.Builder
	for _, p := range found {
		s.WriteString(p.Type)
		if p.Cleanup {
			s.WriteString(" (cleanup)")
		}
		if p.Processor {
			s.WriteString(" (post-processor)")
		}
		for _, use := range p.Uses {
			fmt.Fprintf(&s, " %s@%d:%d", use.Name, use.Line, use.Column)
			if use.Changed != "" {
				fmt.Fprintf(&s, "(%s)", use.Changed)
			}
		}
		if len(p.True) > 0 {
			fmt.Fprintf(&s, " %v", p.True)
		}
		s.WriteString("\n")
	}
	return s.String()
}

// running returns the provisioners of a template that run for a source.
func running(path string) []Provisioner {
	found, _ := Provisioners(path, web)
	return found
}

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestProvisionersOfHCL(t *testing.T) {
	const head = "build {\n  sources = [\"source.bakery-userdata.web\", \"source.amazon-ebs.web\"]\n"
	for name, c := range map[string]struct{ template, want string }{
		"a template expression": {head + "  provisioner \"shell\" {\n" +
			"    inline = [\"é ${build.Host}\", build.ID]\n  }\n}",
			"shell Host@4:20 ID@4:34\n"},
		"Packer's template language": {head + "  provisioner \"shell\" {\n" +
			"    inline = [\"{{ build `Password` }}\", \"{{build \\\"Port\\\"}}\"]\n  }\n}",
			"shell Password@4:16 Port@4:42\n"},
		"nested blocks, functions, heredocs and an index": {head + `  provisioner "file" {
    content = templatefile("x", { port = build.Port })
    other {
      text = <<-EOF
        ${upper(build["Password"])}
      EOF
    }
    destination = "/tmp/${build.PackerRunUUID}"
  }
}`, "file Port@4:42 Password@7:17(upper) PackerRunUUID@10:27\n"},
		"functions around functions": {head + `  provisioner "shell" {
    inline = [join(" ", ["a", substr(format("%s", build.ID), 0, 4), build.Host])]
    script = lower(upper(build.ID))
  }
}`, "shell ID@4:51(substr) Host@4:69 ID@5:26(upper)\n"},
		"dynamic blocks": {head + `  dynamic "provisioner" {
    for_each = ["a", "b"]
    labels   = ["shell"]
    content {
      inline = ["echo ${provisioner.value} ${build.Port}"]
    }
  }
  dynamic "provisioner" {
    for_each = var.types
    labels   = [provisioner.value]
    content {
      only = ["bakery-userdata.web"]
      goss = build.ID
    }
  }
  dynamic "provisioner" {
    labels = ["file"]
    content {
      only = ["amazon-ebs.web"]
    }
  }
  dynamic "source" {
    labels = ["bakery-userdata.web"]
    content {}
  }
}`, "shell Port@7:46\n ID@15:14\n"},
		"true settings": {head + `  provisioner "goss" {
    inspect = true
    skip_download = var.x
    skip_install = false
  }
}`, "goss [inspect]\n"},
		"only and except": {head + `  provisioner "one" {
    only = ["amazon-ebs.web"]
  }
  provisioner "two" {
    only = ["bakery-userdata.web"]
  }
  provisioner "three" {
    except = ["bakery-userdata.web"]
  }
  provisioner "four" {
    except = ["amazon-ebs.web"]
  }
  provisioner "five" {
    only = var.builds
  }
}`, "two\nfour\nfive\n"},
		"another build": {"build {\n  sources = [\"amazon-ebs.web\"]\n  provisioner \"shell\" {}\n}\n" + head + "}",
			""},
		"a source block with a name of its own": {`build {
  source "bakery-userdata.web" {
    name = "blue"
  }
  provisioner "one" {
    only = ["bakery-userdata.blue"]
  }
  provisioner "two" {
    only = ["bakery-userdata.web"]
  }
}`, "one\n"},
		"sources that are not known": {"build {\n  sources = var.sources\n  provisioner \"shell\" {}\n}", "shell\n"},
		"cleanup": {head + "  error-cleanup-provisioner \"shell-local\" {\n    inline = [build.ID]\n  }\n}",
			"shell-local (cleanup) ID@4:15\n"},
		"post-processors": {head + "  post-processor \"shell-local\" {\n    inline = [build.ID]\n  }\n}",
			"shell-local (post-processor) ID@4:15\n"},
		"dynamic post-processors": {head + `  dynamic "post-processors" {
    content {
      dynamic "post-processor" {
        labels = ["manifest"]
        content {
          custom_data = { p = build.Port }
        }
      }
      post-processor "checksum" {}
    }
  }
}`, "manifest (post-processor) Port@8:31\nchecksum (post-processor)\n"},
		"a mistake": {head + "  provisioner \"shell\" {", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, map[string]string{"t.pkr.hcl": c.template, "other.hcl": "build {",
				"vars.pkrvars.hcl": "x = 1"})
			for _, path := range []string{dir, filepath.Join(dir, "t.pkr.hcl")} {
				if diff := cmp.Diff(c.want, describe(running(path))); diff != "" {
					t.Errorf("%s: -want +got:\n%s", path, diff)
				}
			}
		})
	}
}

func TestProvisionersOfJSON(t *testing.T) {
	legacy := `{
  "builders": [{"type": "bakery-userdata", "name": "web"}],
  "provisioners": [
    {"type": "shell", "inline": ["echo {{ build ` + "`Host`" + ` }}",
      "{{build \"Port\"}}"]},
    {"type": "goss", "inspect": true, "only": ["web"]},
    {"type": "file", "source": "{{build ` + "`ID`" + `}}", "except": ["web"]},
    {"type": "salt-masterless", "only": ["other"]}
  ],
  "post-processors": [{"type": "shell-local", "inline": ["{{build ` + "`ID`" + `}}"]}, "checksum",
    [{"type": "manifest", "only": ["other"]}, {"type": "vagrant", "x": "{{build ` + "`Port`" + `}}"}]]
}`
	modern := `{"build": {"sources": ["source.bakery-userdata.web"], "provisioner": [
  {"shell": {"inline": ["echo ${build.Host}"], "env": {"A": "${build.Port}"}}},
  {"goss": {"inspect": true, "only": ["amazon-ebs.web"]}}
]}}`
	dir := write(t, map[string]string{"t.json": legacy, "m.pkr.json": modern})
	for name, want := range map[string]string{
		"t.json": "shell Host@4:40 Port@5:8\ngoss [inspect]\nshell-local (post-processor) ID@10:59\n" +
			"vagrant (post-processor) Port@11:73\n", "m.pkr.json": "shell Host Port\n",
	} {
		got := describe(running(filepath.Join(dir, name)))
		if name == "m.pkr.json" { // the places are those of the strings
			got = placeless(got)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

// placeless removes the places of variables.
func placeless(text string) string {
	var words []string
	for word := range strings.SplitSeq(text, " ") {
		name, place, _ := strings.Cut(word, "@")
		if strings.HasSuffix(place, "\n") {
			name += "\n"
		}
		words = append(words, name)
	}
	return strings.Join(words, " ")
}

func TestWhatRunsForNoSource(t *testing.T) {
	const blocks = `
  provisioner "one" {
    only = ["amazon-ebs.web"]
  }
  provisioner "two" {
    only = ["amazon-ebs.web", "bakery-userdata.web"]
  }
  provisioner "three" {
    except = ["amazon-ebs.web"]
  }
  post-processors {
    post-processor "four" {
      only = ["amazon-ebs.web"]
    }
  }
  provisioner "five" {
    only = ["bakery-userdata.blue"]
  }
}`
	for head, want := range map[string]string{
		`sources = ["source.bakery-userdata.web"]`: "runs two [amazon-ebs.web]|runs three [amazon-ebs.web]|" +
			"never one [amazon-ebs.web]|never four [amazon-ebs.web]|never five [bakery-userdata.blue]",
		`sources = ["source.bakery-userdata.web", "amazon-ebs.web"]`: "runs two []|runs three []|" +
			"never five [bakery-userdata.blue]",
		"sources = var.sources": "runs two []|runs three []",
		"source \"bakery-userdata.web\" {\n name = \"blue\"\n}": "runs three [amazon-ebs.web]|runs five []|" +
			"never one [amazon-ebs.web]|never four [amazon-ebs.web]",
	} {
		dir := write(t, map[string]string{"t.pkr.hcl": "build {\n" + head + blocks})
		found, unreachable := Provisioners(dir, web)
		var got []string
		for _, p := range found {
			got = append(got, fmt.Sprintf("runs %s %v", p.Type, p.Unknown))
		}
		for _, p := range unreachable {
			got = append(got, fmt.Sprintf("never %s %v", p.Type, p.Unknown))
		}
		if diff := cmp.Diff(want, strings.Join(got, "|")); diff != "" {
			t.Errorf("%s: -want +got:\n%s", head, diff)
		}
	}
}

func TestSettingsOfProvisioners(t *testing.T) {
	dir := write(t, map[string]string{"t.pkr.hcl": `build {
  sources = ["bakery-userdata.web"]

  provisioner "file" {
    direction = "download"
  }
  provisioner "shell" {
    valid_exit_codes = [3, 0]
  }
  provisioner "shell" {
    valid_exit_codes = concat([0], var.codes)
  }
}`, "t.json": `{"provisioners": [
  {"type": "file", "direction": "download"},

  {"type": "shell", "valid_exit_codes": [0, 3]}, {"type": "shell", "valid_exit_codes": [0, "{{user ` + "`c`" +
		`}}"]}]}`})
	for name, want := range map[string]string{
		"t.pkr.hcl": "4 true false []|7 false true [0 3]|10 false true []",
		"t.json":    "2 true false []|4 false true [0 3]|4 false true []",
	} {
		var got []string
		for _, p := range running(filepath.Join(dir, name)) {
			got = append(got, fmt.Sprintf("%d %t %t %v", p.Line, p.Downloads, p.HasCodes, p.ExitCodes))
		}
		if diff := cmp.Diff(want, strings.Join(got, "|")); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestCommonExitCodes(t *testing.T) {
	three, plain := Provisioner{Type: "shell", ExitCodes: []int{0, 3}}, Provisioner{Type: "shell"}
	other := Provisioner{Type: "file"}
	for name, c := range map[string]struct {
		provisioners []Provisioner
		want         []int
	}{
		"none": {nil, nil}, "one": {[]Provisioner{other, three}, []int{0, 3}},
		"not all":      {[]Provisioner{three, plain}, nil},
		"another type": {[]Provisioner{other}, nil},
	} {
		if diff := cmp.Diff(c.want, CommonExitCodes(c.provisioners, "shell")); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
}

func TestAllTrue(t *testing.T) {
	settings := map[string]string{"goss": "inspect", "puppet-masterless": "ignore_exit_codes"}
	inspect, plain := Provisioner{Type: "goss", True: []string{"inspect"}}, Provisioner{Type: "goss"}
	puppet := Provisioner{Type: "puppet-masterless", True: []string{"ignore_exit_codes"}}
	for name, c := range map[string]struct {
		provisioners []Provisioner
		want         string
	}{
		"none": {nil, ""}, "one": {[]Provisioner{inspect}, "goss"}, "not all": {[]Provisioner{inspect, plain}, ""},
		"not the first":      {[]Provisioner{plain, inspect}, ""},
		"two types":          {[]Provisioner{puppet, inspect, inspect}, "goss puppet-masterless"},
		"another":            {[]Provisioner{{Type: "shell", True: []string{"inspect"}}}, ""},
		"one that cleans up": {[]Provisioner{inspect, {Type: "goss", Cleanup: true}}, "goss"},
	} {
		if got := strings.Join(AllTrue(c.provisioners, settings), " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestPath(t *testing.T) {
	for command, want := range map[string]string{
		"packer validate -var a=b .": ".", "packer build t.pkr.hcl": "t.pkr.hcl", "packer init .": "", "packer": "",
		"packer validate": "", "go test build ./x": "",
	} {
		if got := Path(strings.Fields(command)); got != want {
			t.Errorf("%s: %q, want %q", command, got, want)
		}
	}
}

func TestWhatCannotBeReadHasNoProvisioners(t *testing.T) {
	dir := write(t, map[string]string{
		"a.json": "[]", "b.json": `{"provisioners": {}}`, "c.json": `{"provisioners": [1]}`,
	})
	for _, path := range []string{"", "-", "/nonexistent", os.DevNull, dir + "/a.json", dir + "/b.json",
		dir + "/c.json",
		dir, t.TempDir()} {
		if found := running(path); len(found) > 0 {
			t.Errorf("%s: %v", path, found)
		}
	}
}
