// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"path"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

//go:embed program/report.sh
var reportSource []byte

//go:embed program/bakery.sh
var bakerySource []byte

// programSource is the guest program.
var programSource = slices.Concat(reportSource, []byte("\n"), bakerySource)

//go:embed program/log_stream.py
var logStreamSource []byte

//go:embed program/s3get.py
var s3getSource []byte

//go:embed program/cloud_init.py
var cloudInitSource []byte

//go:embed program/cloud_keys.py
var cloudKeysSource []byte

//go:embed program/runcmd.py
var runcmdSource []byte

//go:embed program/asked_reboot.py
var askedRebootSource []byte

//go:embed program/wipe.py
var wipeSource []byte

//go:embed program/keys.py
var keysSource []byte

//go:embed program/facts.py
var factsSource []byte

//go:embed program/rules.py
var rulesSource []byte

// hereDocument ends the here-documents that carry files in the boothook.
const hereDocument = "BAKERY_END"

// boothook renders the script that cloud-init runs first: it writes the guest program and its steps to the disk, and
// starts the program. When cloud-init itself reboots the machine, the script runs again and only starts the program.
func boothook(p Program) ([]byte, error) {
	files, units, err := p.layout()
	if err != nil {
		return nil, err
	}
	env, err := p.environment()
	if err != nil {
		return nil, err
	}
	files["env"], files["units"], files["bakery.sh"] = []byte(env), []byte(units), bareProgram([]byte("\n"+units))
	files["asked_reboot.py"], files["rules.py"] = pythonProgram(askedRebootSource), pythonProgram(rulesSource)
	files["wipe.py"] = pythonProgram(wipeSource)
	if p.Opaque || len(p.Keys) > 0 {
		files["modules"], files["cloud_init.py"] = p.moduleLines(), pythonProgram(cloudInitSource)
		files["cloud_keys.py"] = pythonProgram(cloudKeysSource)
	}
	p.layoutBoothooks(files)
	if p.Opaque {
		files["runcmd.py"] = pythonProgram(runcmdSource)
	}
	if p.Files.Staged() {
		files["s3get.py"] = pythonProgram(s3getSource)
	}
	var b bytes.Buffer
	fmt.Fprintf(
		&b,
		boothookHead+"set -e\numask 077\nif [ ! -e %[1]s/installed ]; then\nmkdir -p %[1]s\ncd %[1]s\n",
		directory,
	)
	writeFiles(&b, files)
	b.WriteString("fi\n" + setupCommand + "\n")
	return b.Bytes(), nil
}

// boothookHead begins a boothook. Without the first line, cloud-init 20.2 takes it for a script, and runs it last.
const boothookHead = "#cloud-boothook\n#!/bin/sh\n"

// setupCommand is the last line of the boothook.
const setupCommand = "exec /bin/sh " + directory + "/bakery.sh setup"

// recordedUnit is the line of the step list that the recorded provisioners of a delivery replace.
const recordedUnit = "recorded - provisioners"

// layout returns the list of steps, one a line, and the files they need, by their path below directory.
func (p Program) layout() (files map[string][]byte, units string, err error) {
	l := &layout{files: map[string][]byte{}}
	for _, s := range p.Before {
		l.step(s)
	}
	if p.Files.Staged() {
		l.unit("download", "fs", "fs download")
	}
	if len(p.Files.Inline) > 0 {
		l.files["fs.tgz"] = p.Files.Inline
	}
	if p.Files.Staged() || len(p.Files.Inline) > 0 {
		l.unit("extract", "fs", "fs extract")
	}
	if len(p.Install) > 0 {
		l.files["install.sh"] = p.Install
		l.unit("install", "-", "script/install.sh")
	}
	l.units.WriteString(recordedUnit + "\n")
	for _, s := range p.After {
		l.step(s)
	}
	return l.files, l.units.String(), errors.Join(l.problems...)
}

type layout struct {
	files    map[string][]byte
	units    strings.Builder
	steps    int
	problems []error
}

func (l *layout) unit(kind, file, name string) {
	fmt.Fprintf(&l.units, "%s %s %s\n", kind, file, printable(name))
}

func (l *layout) step(s Step) {
	l.steps++
	dir := fmt.Sprintf("%03d", l.steps)
	switch {
	case len(s.Script) > 0 && len(s.Commands) > 0:
		l.problems = append(l.problems, fmt.Errorf("step %s has both commands and a script", s.Name))
	case len(s.Script) > 0:
		l.files["steps/"+dir] = s.Script
		l.unit("script", dir, s.Name)
	}
	for _, c := range s.Commands {
		file := fmt.Sprintf("%s/%d", dir, c.Index)
		l.files["steps/"+file] = []byte(strings.TrimSuffix(c.Script, "\n") + "\n")
		l.unit("command", file, fmt.Sprintf("%s runcmd[%d]", s.Name, c.Index))
	}
}

// hookNames is the file beside the boothooks with their names: lines "NNN NAME".
const hookNames = "names"

// layoutBoothooks adds the boothooks. They are no MIME parts, because cloud-init ignores a boothook that fails.
func (p Program) layoutBoothooks(files map[string][]byte) {
	var names strings.Builder
	for i, hook := range p.Boothooks {
		number := fmt.Sprintf("%03d", i+1)
		files["boothooks/"+number] = boothookScript(hook.Content)
		fmt.Fprintf(&names, "%s %s\n", number, boothookName(hook.Name))
	}
	if len(p.Boothooks) > 0 {
		files["boothooks/"+hookNames] = []byte(names.String())
	}
}

// boothookName returns the name of a boothook in reports and messages.
func boothookName(part string) string { return printable(part) + " (boothook)" }

// boothookScript returns the script that cloud-init makes of a boothook: the text after its first line, with Unix line
// ends. Source: cloudinit/handlers/boot_hook.py.
func boothookScript(content []byte) []byte {
	script := bytes.TrimPrefix(bytes.TrimLeft(content, " \t\r\n"), []byte("#cloud-boothook"))
	return bytes.ReplaceAll(bytes.TrimLeft(script, " \t\r\n"), []byte("\r\n"), []byte("\n"))
}

// printable replaces the characters of a name that a report, which is one line of ASCII, cannot contain.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, name)
}

// environment returns the variables of the guest program that do not depend on the delivery.
func (p Program) environment() (string, error) {
	if !p.Files.Staged() {
		return "", nil
	}
	lines := []string{
		shell.Assign("BAKERY_FS_SHA256", p.Files.SHA256),
		shell.Assign("BAKERY_REGION", p.Files.Region),
	}
	if p.Files.S3URL != "" {
		plain, err := PlainURL(p.Files.S3URL, p.Files.Region)
		if err != nil {
			return "", err
		}
		lines = append(lines, shell.Assign("BAKERY_FS_URL", plain), shell.Assign("BAKERY_PROFILE", "1"))
	}
	return strings.Join(lines, "\n") + "\n", nil
}

// PlainURL returns the unsigned https URL of an object given as s3://bucket/key.
func PlainURL(s3URL, region string) (string, error) {
	u, err := url.Parse(s3URL)
	if err != nil || u.Scheme != "s3" || u.Host == "" || len(u.Path) < 2 {
		return "", fmt.Errorf("S3 URL %q is not of the form s3://bucket/path/to/fs.tgz", s3URL)
	}
	domain := "amazonaws.com"
	if strings.HasPrefix(region, "cn-") { // a partition of its own
		domain += ".cn"
	}
	if strings.Contains(u.Host, ".") { // the certificate does not cover a bucket name with a dot
		return fmt.Sprintf("https://s3.%s.%s/%s%s", region, domain, u.Host, u.EscapedPath()), nil
	}
	return fmt.Sprintf("https://%s.s3.%s.%s%s", u.Host, region, domain, u.EscapedPath()), nil
}

// writeFiles renders commands that write files below the current directory, sorted by name.
func writeFiles(b *bytes.Buffer, files map[string][]byte) {
	dirs := map[string]bool{}
	for name := range files {
		if d := path.Dir(name); d != "." {
			dirs[d] = true
		}
	}
	if len(dirs) > 0 {
		fmt.Fprintf(b, "mkdir -p %s\n", strings.Join(slices.Sorted(maps.Keys(dirs)), " "))
	}
	// Programs of one language beside each other compress better: the window of gzip is smaller than a document.
	byLanguage := func(a, b string) int { return cmp.Or(cmp.Compare(path.Ext(a), path.Ext(b)), cmp.Compare(a, b)) }
	for _, name := range slices.SortedFunc(maps.Keys(files), byLanguage) {
		writeFile(b, name, files[name])
		if executable(name) {
			fmt.Fprintf(b, "chmod 0700 %s\n", name)
		}
	}
}

// executable reports whether a file is a script with a #! line of its own.
func executable(name string) bool {
	return name == "install.sh" || path.Dir(name) == "steps" ||
		path.Dir(name) == "boothooks" && path.Base(name) != hookNames
}

// writeFile renders the command that writes one file: text as it is, because it compresses better, all else as base64.
func writeFile(b *bytes.Buffer, name string, content []byte) {
	text := string(content)
	if isText(content) && strings.HasSuffix(text, "\n") && !strings.Contains("\n"+text, "\n"+hereDocument+"\n") {
		fmt.Fprintf(b, "cat >%s <<'%s'\n%s%s\n", name, hereDocument, text, hereDocument)
		return
	}
	fmt.Fprintf(b, "base64 -d >%s <<'%s'\n%s%s\n", name, hereDocument, encode(content), hereDocument)
}

// strip removes comments, and the indentation of sh, because the size of user data is limited. Python keeps a blank for
// each level.
func strip(source []byte) []byte {
	sh := bytes.HasPrefix(source, []byte("#!/bin/sh"))
	var b bytes.Buffer
	for i, line := range strings.Split(string(source), "\n") {
		bare := strings.TrimLeft(line, " \t")
		if bare == "" || strings.HasPrefix(bare, "#") && (i > 0 || !sh) {
			continue
		}
		if sh {
			line = strings.TrimLeft(line, "\t")
		} else if indent := len(line) - len(bare); indent%4 == 0 {
			line = strings.Repeat(" ", indent/4) + bare
		}
		b.WriteString(line + "\n")
	}
	return b.Bytes()
}
