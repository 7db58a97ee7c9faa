// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// commandList returns the commands of a part's runcmd or bootcmd, by its key, as cloud-init would run them
// (cloudinit/util.py, shellify): a text is shell, the words of a list are quoted, an empty item is ignored. On the
// machine, one wrong type would make cloud-init drop the whole list.
func (p *part) commandList(key string, list *yaml.Node) []Command {
	if list == nil || isNull(list) {
		return nil
	}
	if list.Kind != yaml.SequenceNode {
		p.errorAt(list, "%s is %s, but must be a list: begin each command with \"- \"", key, describe(list))
		return nil
	}
	var commands []Command
	for i := 0; i < len(list.Content); i++ {
		if script, items := p.joined(key, list.Content[i:]); items > 1 {
			commands = append(commands, Command{Index: i, Script: script})
			i += items - 1
			continue
		}
		if script, ok := p.command(fmt.Sprintf("%s[%d]", key, i), list.Content[i]); ok {
			commands = append(commands, Command{Index: i, Script: script})
		}
	}
	return commands
}

// maxJoined is how many items at most are joined to one command.
const maxJoined = 100

// joined returns the command that the first items make together, and how many they are: an item may begin an if or a
// loop that a later one ends, because cloud-init makes one script of all items. Each item of an Image-Source's runcmd
// is a step of its own.
func (p *part) joined(key string, items []*yaml.Node) (script string, count int) {
	if !p.userData && key == "runcmd" {
		return "", 0
	}
	var b strings.Builder
	for i, item := range items[:min(maxJoined, len(items))] {
		switch {
		case item.Kind == yaml.ScalarNode && typeOf(item) == tagString:
			b.WriteString(strings.TrimSuffix(item.Value, "\n") + "\n")
		case item.Kind == yaml.SequenceNode:
			for _, word := range item.Content {
				if word.Kind != yaml.ScalarNode || !shell.CanQuote(word.Value) {
					return "", 0
				}
				b.WriteString(shell.Quote(word.Value) + " ")
			}
			b.WriteString("\n")
		case !isNull(item):
			return "", 0
		}
		if p.joinable -= b.Len(); p.joinable < 0 {
			return "", 0
		}
		fault := shell.Check([]byte(b.String()), "sh")
		switch {
		case fault == nil || fault.BashOnly:
			return b.String(), i + 1
		case !fault.Incomplete:
			return "", 0
		}
	}
	return "", 0
}

// command returns the shell text of one item, false when there is none to run.
func (p *part) command(name string, item *yaml.Node) (string, bool) {
	switch {
	case item.Kind == yaml.SequenceNode:
		return p.words(name, item)
	case item.Kind == yaml.MappingNode:
		p.errorAt(item, "%s is a mapping, because of a colon followed by a blank: quote the whole command",
			name)
		return "", false
	}
	switch typeOf(item) {
	case tagNull:
		return "", false
	case tagString:
		p.checkScript(name, item)
		return item.Value, strings.TrimSpace(item.Value) != ""
	}
	p.errorAt(item, "%s is %s, but must be a text or a list of texts: quote it", name, describe(item))
	return "", false
}

// words returns a list item as one command.
func (p *part) words(name string, item *yaml.Node) (string, bool) {
	var words []string
	for _, word := range item.Content {
		switch kind := typeOf(word); {
		case word.Kind != yaml.ScalarNode || kind == tagNull || kind == tagBinary:
			p.errorAt(word, "a word of %s is %s, but must be a text", name, describe(word))
			return "", false
		case !shell.CanQuote(word.Value):
			p.errorAt(word, "a word of %s holds a NUL character, which no command can be given", name)
			return "", false
		case kind != tagString && !sameInPython(kind, word.Value):
			p.warnAt(word, "a word of %s is %s and is taken as written, %s: quote it", name, describe(word),
				word.Value)
		}
		words = append(words, shell.Quote(word.Value))
	}
	script := strings.Join(words, " ")
	if len(words) == 0 {
		p.warnAt(item, "%s is an empty list, which runs nothing", name)
	} else if _, _, ok := shell.PowersOff([]byte(script), "sh"); ok {
		p.warnAt(item, "%s %s", name, shell.PowerOffAdvice)
	}
	return script, len(words) > 0
}

// sameInPython reports whether cloud-init's str() of the value returns its source text: it does for 80, but not for
// 0644 (420) or yes (True).
func sameInPython(kind, text string) bool {
	if kind != tagInt {
		return false
	}
	digits := strings.TrimPrefix(text, "-")
	return strings.Trim(digits, "0123456789") == "" && (digits[0] != '0' || text == "0")
}

// checkScript reports the syntax errors of a text item.
func (p *part) checkScript(name string, item *yaml.Node) {
	if !shell.CanQuote(item.Value) {
		p.errorAt(item, "%s holds a NUL character, which no shell can read", name)
		return
	}
	fault := shell.Check([]byte(item.Value), "sh")
	if fault == nil {
		if line, column, ok := shell.PowersOff([]byte(item.Value), "sh"); ok {
			line, column = p.sourcePosition(item, line, column)
			p.problems.Warnf(p.path, line, column, "%s %s", name, shell.PowerOffAdvice)
		}
		return
	}
	line, column := p.sourcePosition(item, fault.Line, fault.Column)
	switch {
	case fault.BashOnly:
		p.problems.Warnf(p.path, line, column, "%s: %s, and it runs under /bin/sh, which is not bash "+
			"everywhere", name, fault.Message)
	case fault.Incomplete:
		p.errorf(line, column, "%s: %s; each item is a command of its own: write what belongs together as "+
			"one item with \"- |\"", name, fault.Message)
	default:
		p.errorf(line, column, "%s: %s", name, fault.Message)
	}
}

// sourcePosition converts a position in a scalar's text to one in the file. When the text is not in the source
// unchanged, it returns the beginning of the scalar.
func (p *part) sourcePosition(n *yaml.Node, line, column int) (int, int) {
	text := strings.Split(n.Value, "\n")
	if line > len(text) {
		line, column = len(text), 1
	}
	at, start := n.Line, n.Column-1
	switch {
	case n.Style&yaml.LiteralStyle != 0:
		at += line
		start = strings.Index(p.line(at), text[line-1])
	case n.Style&quoted != 0:
		start++
	}
	source := []rune(p.line(at))
	wanted := []rune(text[line-1])
	wanted = wanted[:min(column-1, len(wanted))]
	if start < 0 || start+len(wanted) > len(source) || string(source[start:start+len(wanted)]) != string(wanted) {
		return n.Line, n.Column
	}
	return at, start + column
}

func (p *part) line(number int) string {
	if number < 1 || number > len(p.lines) {
		return ""
	}
	return p.lines[number-1]
}
