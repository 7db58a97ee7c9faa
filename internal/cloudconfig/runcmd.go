// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// runcmd returns the commands of a part's runcmd as cloud-init would run them (cloudinit/util.py, shellify): a text is
// shell, the words of a list are quoted, an empty item is ignored. On the machine, one wrong type would make cloud-init
// drop the whole list.
func (p *part) runcmd(list *yaml.Node) []Command {
	if list == nil || isNull(list) {
		return nil
	}
	if list.Kind != yaml.SequenceNode {
		p.errorAt(list, "runcmd is %s, but must be a list: begin each command with \"- \"", describe(list))
		return nil
	}
	var commands []Command
	for i, item := range list.Content {
		if script, ok := p.command(i, item); ok {
			commands = append(commands, Command{Index: i, Script: script})
		}
	}
	return commands
}

// command returns the shell text of one item, false when there is none to run.
func (p *part) command(index int, item *yaml.Node) (string, bool) {
	switch {
	case item.Kind == yaml.SequenceNode:
		return p.words(index, item)
	case item.Kind == yaml.MappingNode:
		p.errorAt(item, "runcmd[%d] is a mapping, because of a colon followed by a blank: quote the whole command",
			index)
		return "", false
	}
	switch typeOf(item) {
	case tagNull:
		return "", false
	case tagString:
		p.checkScript(index, item)
		return item.Value, strings.TrimSpace(item.Value) != ""
	}
	p.errorAt(item, "runcmd[%d] is %s, but must be a text or a list of texts: quote it", index, describe(item))
	return "", false
}

// words returns a list item as one command.
func (p *part) words(index int, item *yaml.Node) (string, bool) {
	var words []string
	for _, word := range item.Content {
		switch kind := typeOf(word); {
		case word.Kind != yaml.ScalarNode || kind == tagNull || kind == tagBinary:
			p.errorAt(word, "a word of runcmd[%d] is %s, but must be a text", index, describe(word))
			return "", false
		case !shell.CanQuote(word.Value):
			p.errorAt(word, "a word of runcmd[%d] holds a NUL character, which no command can be given", index)
			return "", false
		case kind != tagString && !sameInPython(kind, word.Value):
			p.warnAt(word, "a word of runcmd[%d] is %s and is taken as written, %s: quote it", index, describe(word),
				word.Value)
		}
		words = append(words, shell.Quote(word.Value))
	}
	if len(words) == 0 {
		p.warnAt(item, "runcmd[%d] is an empty list, which runs nothing", index)
	}
	return strings.Join(words, " "), len(words) > 0
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
func (p *part) checkScript(index int, item *yaml.Node) {
	if !shell.CanQuote(item.Value) {
		p.errorAt(item, "runcmd[%d] holds a NUL character, which no shell can read", index)
		return
	}
	fault := shell.Check([]byte(item.Value), "sh")
	if fault == nil {
		return
	}
	line, column := p.sourcePosition(item, fault.Line, fault.Column)
	switch {
	case fault.BashOnly:
		p.problems.Warnf(p.path, line, column, "runcmd[%d]: %s, and runcmd runs under /bin/sh, which is not bash "+
			"everywhere", index, fault.Message)
	case fault.Incomplete:
		p.errorf(line, column, "runcmd[%d]: %s; each item is a command of its own: write what belongs together as "+
			"one item with \"- |\"", index, fault.Message)
	default:
		p.errorf(line, column, "runcmd[%d]: %s", index, fault.Message)
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
