// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/amibakery/packer-plugin-bakery/internal/cloudconfig"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
	"github.com/amibakery/packer-plugin-bakery/internal/imagesource"
	"github.com/amibakery/packer-plugin-bakery/internal/problem"
)

// runcmdName is the name of the file that cloud-init makes of runcmd, in the folder of the scripts. It runs all of them
// in the order of their names (cloudinit/config/cc_runcmd.py, cc_scripts_user.py).
const runcmdName = "runcmd"

// config is a cloud-config.
type config struct {
	part     part
	document *cloudconfig.Document
	how      cloudconfig.MergeHow
	lines    int // of its content
}

// script is a script, and the name of the file that cloud-init makes of it.
type script struct {
	part part
	file string
	step guest.Step
}

// cloudConfig parses a cloud-config.
func (r *reader) cloudConfig(p part) {
	ignored := slices.Contains(r.ignore, IgnoreParts)
	content := bytes.TrimPrefix(p.content, []byte("\ufeff")) // not at the beginning of user data, so PyYAML skips it
	if _, ok := splitJinja(content); ok && hasTemplate(content) {
		r.partErrorf(p, r.sourceLine(p), "is a jinja template, but its Content-Type is %s, with which cloud-init does "+
			"not render it: make it %s", typeCloudConfig, typeJinja)
		return
	} else if ok { // a comment for cloud-init, but refused in an Image-Source
		_, rest, _ := bytes.Cut(content, []byte("\n"))
		content = append([]byte("#\n"), rest...)
	}
	source := p
	if blank := p.line - 1; blank <= r.padding { // so that messages that name another line have the right one
		r.padding -= blank
		content = append(bytes.Repeat([]byte("\n"), blank), content...)
		source.line = 1
	} else {
		source.file = r.elsewhere(p)
		source.line, source.indent = 1, 0
	}
	document, problems := cloudconfig.ParseWith(source.file, content, cloudconfig.Options{Ignore: r.ignore,
		UserData: true})
	r.add(source, problems, ignored)
	if problems.Err() != nil {
		return
	}
	r.add(source, imagesource.CheckWritten(source.file, document), ignored)
	if index := document.LaunchIndex(); p.launchIndex == "" && index != "" && !isZero(index) {
		r.otherMachine(p, index)
		return
	}
	how, err := document.MergeHow(p.mergeType)
	if err != nil {
		r.partErrorf(p, r.sourceLine(p), "its merge_how or Merge-Type %v", err)
		return
	}
	if len(document.Keys()) == 0 && len(document.Commands()) == 0 {
		r.warnf(p, r.sourceLine(p), "is a cloud-config without any key that does something")
	}
	part := p
	part.file, part.line = source.file, p.line
	r.configs = append(r.configs, config{part, document, how, bytes.Count(content, []byte("\n"))})
}

// script checks a script. cloud-init converts the line ends of Windows.
func (r *reader) script(p part) {
	p.content = dos2unix(p.content)
	name := cleanName(p.fileName)
	if p.fileName == "" {
		name = fmt.Sprintf("part-%03d", r.attached)
	}
	line := r.sourceLine(p)
	switch {
	case name == "" || name == "." || name == "..":
		r.partErrorf(p, line, "has a file name that cloud-init cannot write: use letters and digits")
		return
	case startsBlank(string(p.content[:1])):
		r.partErrorf(p, line, "has a blank before its \"#!\", so the machine could not run it: make \"#!\" its first "+
			"characters")
		return
	}
	if !r.claim(p, name) {
		return
	}
	r.add(p, imagesource.CheckScript(p.file, p.content), slices.Contains(r.ignore, IgnoreParts))
	if !utf8.Valid(p.content) {
		r.warnf(p, line, "is not UTF-8: it is run, but cloud-init alone would drop it")
	}
	step := guest.Step{Name: r.title(p.number), Script: p.content}
	if p.fileName != "" {
		step.Name += " (" + shorten(printable(p.fileName)) + ")"
	}
	r.scripts = append(r.scripts, script{p, name, step})
}

// claim reports a script whose file name an earlier one has.
func (r *reader) claim(p part, name string) bool {
	if number, taken := r.names[name]; taken {
		r.partErrorf(p, r.sourceLine(p), "has the file name %s, as part %d, and cloud-init would run only the last of "+
			"them: give each a name of its own", name, number)
		return false
	}
	r.names[name] = p.number
	return true
}

// boothook checks a boothook. cloud-init removes the first line only when it is exactly that
// (cloudinit/handlers/boot_hook.py).
func (r *reader) boothook(p part) {
	const first = "#cloud-boothook"
	p.content = dos2unix(p.content)
	var problems problem.List
	rest, ok := bytes.CutPrefix(p.content, []byte(first))
	switch {
	case ok:
		problems = imagesource.CheckBoothook(p.file, p.content)
	case typeOf(p.content) == typeBoothook:
		problems.Errorf(p.file, 1, 1, "cloud-init cannot run the boothook: %s must be its first characters, in lower "+
			"case",
			first)
	default:
		problems = imagesource.CheckScript(p.file, bytes.TrimLeftFunc(p.content, unicode.IsSpace))
		rest = p.content
	}
	r.add(p, problems, slices.Contains(r.ignore, IgnoreBoothooks))
	r.boothooks = append(r.boothooks, guest.Part{
		Name: r.title(p.number), Content: append([]byte(first+"\n"), bytes.TrimLeftFunc(rest, unicode.IsSpace)...),
	})
}

// jinja keeps a template, or reads what is in fact none.
func (r *reader) jinja(p part) {
	rest, ok := splitJinja(p.content)
	line := r.sourceLine(p)
	if !ok {
		r.partErrorf(p, line, "cloud-init would not render it: \"## template: jinja\" must be its first line, and "+
			"nothing else in it")
		return
	}
	kind := typeOf(rest)
	renders := kind == typeCloudConfig || kind == typeScript || kind == typeBoothook
	if !hasTemplate(rest) {
		if !renders {
			r.partErrorf(p, line, "what follows \"## template: jinja\" begins with %q, and cloud-init would ignore "+
				"it: make it #cloud-config or \"#!\"", firstLine(rest))
			return
		}
		p.content, p.kind = rest, kind
		p.line++
		r.attached--
		r.part(p)
		return
	}
	begins := firstLine(rest)
	if !renders && !strings.HasPrefix(begins, "{") {
		r.partErrorf(p, line, "what follows \"## template: jinja\" begins with %q, and cloud-init would ignore it: "+
			"make it #cloud-config or \"#!\"", begins)
		return
	}
	if name := cleanName(p.fileName); name != "" && kind == typeScript && !r.claim(p, name) {
		return
	}
	warning := "a jinja template is rendered on the machine: what it becomes is not checked, cloud-init runs it " +
		"before the steps, and a failing command of its bootcmd counts only if it is the last"
	if kind == typeBoothook {
		warning += "; older versions of cloud-init ignore a boothook in a template"
	}
	r.keep(p, warning)
}

// program puts together what the parts become.
func (r *reader) program() guest.Program {
	r.checkTemplates()
	merged := r.merge()
	program := guest.Program{Boothooks: r.boothooks, Unchecked: r.unchecked, Opaque: len(r.unchecked) > 0}
	if len(merged.Keys) > 0 {
		program.CloudConfig, program.Keys = merged.Config, merged.Keys
	}
	program.Before = r.steps()
	return program
}

// steps returns the steps in the order of cloud-init: that of the names of its files.
func (r *reader) steps() []guest.Step {
	var commands []guest.Step
	for _, c := range r.configs {
		step := guest.Step{Name: r.title(c.part.number)}
		for _, command := range c.document.Commands() {
			step.Commands = append(step.Commands, guest.Command(command))
		}
		if len(step.Commands) > 0 {
			commands = append(commands, step)
		}
	}
	slices.SortStableFunc(r.scripts, func(a, b script) int { return cmp.Compare(a.file, b.file) })
	var steps []guest.Step
	for _, s := range r.scripts {
		if s.file == runcmdName && len(commands) > 0 {
			r.partErrorf(s.part, r.sourceLine(s.part), "has the file name runcmd, and cloud-init would write the "+
				"commands of runcmd over it: rename it")
		}
		if s.file >= runcmdName {
			steps, commands = append(steps, commands...), nil
		}
		steps = append(steps, s.step)
	}
	return append(steps, commands...)
}

// merge merges the cloud-configs. cloud-init itself would use only the last value of each key, unless a part says
// otherwise.
func (r *reader) merge() *cloudconfig.Merged {
	owner := map[string]config{}
	for i, c := range r.configs {
		keys := c.document.Keys()
		if len(c.document.Commands()) > 0 {
			keys = append(keys, runcmdName)
		}
		for _, key := range keys {
			if earlier, ok := owner[key]; ok {
				r.mergeKey(key, earlier, c, r.configs[:i])
			}
			owner[key] = c
		}
	}
	documents := make([]*cloudconfig.Document, len(r.configs))
	for i, c := range r.configs {
		documents[i] = c.document
	}
	merged, problems := cloudconfig.Merge(documents)
	for i := range problems {
		if r.keepsEarlier(problems[i]) {
			problems[i].Severity = problem.Error
			problems[i].Message += ", but its merge_how or Merge-Type says that the earlier value stays: remove one " +
				"of them"
		}
	}
	r.problems = append(r.problems, problems...)
	return merged
}

// mergeKey decides about a key that an earlier part has too.
func (r *reader) mergeKey(key string, earlier, later config, before []config) {
	line := r.sourceLine(later.part)
	switch {
	case !later.how.Given:
		r.warnf(later.part, line, "%s is in part %d too: here both are used, lists are appended and maps merged, "+
			"where cloud-init alone would use only this one", key, earlier.part.number)
	case later.how.Like:
	case !later.how.KeepsEarlier: // replaces
		r.warnf(later.part, line, "%s replaces that of part %d, as merge_how or Merge-Type says", key,
			earlier.part.number)
		for _, c := range before {
			c.document.Remove(key)
		}
	default:
		r.partErrorf(later.part, line, "%s is in part %d too, and its merge_how or Merge-Type cannot be followed: "+
			"write list(append)+dict(recurse_list)+str() or dict(replace), or join the parts", key, earlier.part.number)
	}
}

// keepsEarlier reports whether a warning is of a value that replaces an earlier one against what its part says.
func (r *reader) keepsEarlier(p problem.Problem) bool {
	if !strings.Contains(p.Message, " wins over ") && !strings.Contains(p.Message, " replaces ") {
		return false
	}
	return slices.ContainsFunc(r.configs, func(c config) bool {
		return c.how.Given && c.how.KeepsEarlier && c.part.file == p.File && p.Line >= c.part.line &&
			p.Line <= c.part.line+c.lines
	})
}

// templateKey matches a line of a template that is a top-level key of cloud-config.
var templateKey = regexp.MustCompile(`(?m)^([a-z_-]+):`)

// checkTemplates reports a template that has a key that another part has too. The machine merges the template's after
// the others, and cloud-init then uses only one of the two.
func (r *reader) checkTemplates() {
	owner := map[string]int{}
	for _, c := range r.configs {
		for _, key := range c.document.Keys() {
			owner[key] = c.part.number
		}
	}
	for _, u := range r.unchecked {
		if u.Type != typeJinja || !bytes.Contains(bytes.ToLower(u.Content), []byte("#cloud-config")) {
			continue
		}
		for _, m := range templateKey.FindAllSubmatch(u.Content, -1) {
			if number := owner[string(m[1])]; number > 0 {
				r.errorf(0, "%s is in part %d and in the template %s, and cloud-init uses only one of them: put both "+
					"into the template", m[1], number, printable(u.Name))
				return
			}
		}
	}
}
