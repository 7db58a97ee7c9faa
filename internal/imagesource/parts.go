// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/amibakery/packer-plugin-bakery/internal/cloudconfig"
)

// Kind is the kind of a part, which its first line determines.
type Kind int

// The kinds that a bake supports, of those of cloud-init (cloudinit/handlers/__init__.py, INCLUSION_TYPES_MAP).
const (
	CloudConfig Kind = iota // "#cloud-config"
	Script                  // "#!"
	Boothook                // "#cloud-boothook"
)

// Part is one file of cloudinit/.
type Part struct {
	Name     string // "60_app.cfg"
	Path     string // as messages show it: "cloudinit/60_app.cfg"
	Priority int    // the two digits the name begins with
	Kind     Kind
	Content  []byte
	Document *cloudconfig.Document // a cloud-config part, parsed; nil for the other kinds
}

var (
	partName = regexp.MustCompile(`^([0-9])([0-9])_.+\.(cfg|yml|sh)$`)
	nearName = regexp.MustCompile(`^([0-9]{0,2})[-_ ]*(.*?)(\.(?i:cfg|conf|ya?ml|sh))?$`)
)

// parts reads cloudinit/.
func (r *reader) parts() {
	if !r.has[partsDir] {
		return
	}
	entries, err := os.ReadDir(filepath.Join(r.dir, partsDir))
	if err != nil {
		r.errorf(partsDir, "read the folder: %v", cause(err))
		return
	}
	stems := map[string]string{}
	for _, e := range entries { // ReadDir sorts by name
		name := e.Name()
		if strings.HasPrefix(name, ".") {
			continue // .gitkeep and the like; cloud-init never sees them
		}
		if !r.partName(name) {
			continue
		}
		stem := strings.TrimSuffix(name, path.Ext(name))
		if same := stems[stem]; same != "" {
			r.errorf(partsDir+"/"+name, "has the same name as %s/%s but for the ending, and both become one part: "+
				"rename one of them", partsDir, same)
		}
		stems[stem] = name
		r.part(name)
	}
}

// partName reports a name that is not of the form NN_name.cfg.
func (r *reader) partName(name string) bool {
	rel := partsDir + "/" + name
	if !utf8.ValidString(name) || strings.ContainsFunc(name, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		r.errorf(fmt.Sprintf("%s/%q", partsDir, name),
			"has a name that cannot be shown: rename it to letters and digits, such as 60_name.cfg")
		return false
	}
	if partName.MatchString(name) {
		return true
	}
	if strings.HasSuffix(name, "~") || strings.HasSuffix(name, ".bak") || strings.HasSuffix(name, ".orig") {
		r.errorf(rel, "looks like a leftover of an editor: remove it")
		return false
	}
	r.errorf(rel, "is not named NN_name.cfg or NN_name.yml, where NN is when it runs: rename it to %s", rename(name))
	return false
}

// rename returns the valid name that is most similar to a wrong one.
func rename(name string) string {
	m := nearName.FindStringSubmatch(name)
	number, stem, ending := m[1], m[2], strings.ToLower(m[3])
	switch len(number) {
	case 0:
		number = "60" // after fs/ and install.sh, where most parts belong
	case 1:
		number = "0" + number
	}
	switch ending {
	case "", ".conf":
		ending = ".cfg"
	case ".yaml":
		ending = ".yml"
	}
	if stem == "" {
		stem = "name"
	}
	return number + "_" + stem + ending
}

// part reads and checks one part.
func (r *reader) part(name string) {
	rel := partsDir + "/" + name
	content, _, ok := r.file(rel)
	if !ok {
		return
	}
	p := Part{Name: name, Path: rel, Priority: int(name[0]-'0')*10 + int(name[1]-'0'), Content: content}
	kind, ok := r.kind(rel, content)
	if !ok {
		return
	}
	p.Kind = kind
	switch kind {
	case CloudConfig:
		document, problems := cloudconfig.ParseWith(rel, content, cloudconfig.Options{Ignore: r.ignored})
		p.Document = document
		r.problems = append(r.problems, problems...)
		r.problems = append(r.problems, CheckWritten(rel, document)...)
		if stem, ok := strings.CutSuffix(name, ".sh"); ok {
			r.errorf(rel, "is cloud-config by its first line: rename it to %s.cfg", stem)
		}
	case Script:
		r.checkScript(rel, content)
	case Boothook:
		r.checkBoothook(rel, content)
	}
	r.source.Parts = append(r.source.Parts, p)
}

type firstLine struct {
	prefix  string
	kind    Kind
	refused string // why it is refused, empty when it is not
}

// The known first lines. Of two that begin alike, the longer is first.
var firstLines = []firstLine{
	{"#!", Script, ""},
	{"#cloud-boothook", Boothook, ""},
	{
		"#cloud-config-archive", 0, "a cloud-config-archive is not taken apart: make each of its parts a file of " +
			"cloudinit/",
	},
	{
		"#cloud-config-jsonp", 0, "a JSON patch cannot be merged while compiling: write the result as a " +
			"#cloud-config part",
	},
	{"#cloud-config", CloudConfig, ""},
	{"## template: jinja", CloudConfig, ""}, // cloudconfig.Parse says why it is refused
	{"#include", 0, "an include is fetched on the machine and cannot be checked: put its content here"},
	{"#part-handler", 0, "a part handler runs inside of cloud-init and cannot be reported on: use a \"#!\" part"},
}

// kind returns the kind of a part. As cloud-init does, it looks at the first line, and ignores leading blank lines and
// case.
func (r *reader) kind(rel string, content []byte) (Kind, bool) {
	text := bytes.TrimPrefix(content, []byte("\ufeff"))
	first, _, _ := strings.Cut(string(bytes.TrimSpace(text)), "\n")
	lower := strings.ToLower(first)
	at := slices.IndexFunc(firstLines, func(l firstLine) bool { return strings.HasPrefix(lower, l.prefix) })
	switch {
	case first == "":
		r.problems.Errorf(rel, 1, 1, "is empty: remove it, or begin it with #cloud-config or a \"#!\" line")
		return 0, false
	case at < 0:
		r.problems.Errorf(rel, 1, 1, "begins with %q, which cloud-init would ignore: make the first line "+
			"#cloud-config, or \"#!\" and an interpreter", shorten(first))
		return 0, false
	case firstLines[at].refused != "":
		r.problems.Errorf(rel, 1, 1, "%s", firstLines[at].refused)
		return 0, false
	}
	return firstLines[at].kind, true
}

func shorten(text string) string {
	const limit = 40
	if runes := []rune(strings.TrimSpace(text)); len(runes) > limit {
		return string(runes[:limit]) + "..."
	}
	return strings.TrimSpace(text)
}
