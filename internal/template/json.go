// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package template

import (
	"bytes"
	"cmp"
	"encoding/json"
	"regexp"
	"slices"
	"unicode/utf8"
)

// rendered matches a build variable in Packer's template language: {{ build `Host` }}.
var rendered = regexp.MustCompile("\\{\\{-?\\s*build\\s+[`\"\\\\]+(\\w+)[`\"\\\\]")

// renderedVariables returns the build variables that a part of a file has in Packer's template language.
func renderedVariables(file string, content []byte, from, to int) []Variable {
	var found []Variable
	for _, at := range rendered.FindAllSubmatchIndex(content[from:to], -1) {
		before := content[:from+at[0]]
		begin := bytes.LastIndexByte(before, '\n') + 1
		found = append(found, Variable{
			Name: string(content[from+at[2] : from+at[3]]), File: file, Line: bytes.Count(before, []byte("\n")) + 1,
			Column: utf8.RuneCount(before[begin:]) + 1,
		})
	}
	return found
}

func (v Variable) compare(other Variable) int {
	return cmp.Or(cmp.Compare(v.File, other.File), cmp.Compare(v.Line, other.Line), cmp.Compare(v.Column, other.Column))
}

// readJSON returns the provisioners and post-processors of a legacy JSON template that run for a builder.
func readJSON(file string, content []byte, builder string) (found []Provisioner) {
	decoder := json.NewDecoder(bytes.NewReader(content))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return found
		}
		var raw json.RawMessage
		if decoder.Decode(&raw) != nil {
			return found
		}
		if key == "provisioners" || key == "post-processors" {
			part := jsonPart{file: file, content: content, begin: int(decoder.InputOffset()) - len(raw),
				processors: key == "post-processors"}
			found = append(found, part.read(raw, builder)...)
		}
	}
	return found
}

// jsonPart is a list in a legacy JSON template, which begins at a byte of the file.
type jsonPart struct {
	file       string
	content    []byte
	begin      int
	processors bool
}

// read returns the elements that run for a builder. An element of post-processors may be a list of them.
func (part jsonPart) read(raw json.RawMessage, builder string) (found []Provisioner) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	if token, err := decoder.Token(); err != nil || token != json.Delim('[') {
		return nil
	}
	for decoder.More() {
		var element json.RawMessage
		if decoder.Decode(&element) != nil {
			return found
		}
		from := part.begin + int(decoder.InputOffset()) - len(element)
		var settings map[string]any
		switch err := json.Unmarshal(element, &settings); {
		case part.processors && element[0] == '[':
			inner := part
			inner.begin = from
			found = append(found, inner.read(element, builder)...)
		case part.processors && element[0] == '"': // a post-processor without settings
		case err != nil:
			return found
		case runsForBuilder(settings, builder):
			found = append(found, part.provisioner(settings, from, from+len(element)))
		}
	}
	return found
}

// provisioner returns a block, which is between two bytes of the file.
func (part jsonPart) provisioner(settings map[string]any, from, to int) Provisioner {
	p := Provisioner{
		Uses: renderedVariables(part.file, part.content, from, to), File: part.file,
		Line: bytes.Count(part.content[:from], []byte("\n")) + 1, Processor: part.processors,
		Downloads: settings[settingDirection] == "download",
	}
	p.Type, _ = settings["type"].(string)
	for name, value := range settings {
		if value == true {
			p.True = append(p.True, name)
		}
	}
	_, p.HasCodes = settings[settingExitCodes]
	codes, _ := settings[settingExitCodes].([]any)
	for _, code := range codes {
		n, ok := code.(float64)
		if !ok { // a user variable
			p.ExitCodes = nil
			break
		}
		p.ExitCodes = append(p.ExitCodes, int(n))
	}
	slices.Sort(p.ExitCodes)
	slices.Sort(p.True)
	return p
}

// runsForBuilder reports whether a block runs for a builder, by its only and except.
func runsForBuilder(settings map[string]any, builder string) bool {
	if only, ok := settings["only"].([]any); ok && len(only) > 0 {
		return slices.Contains(only, any(builder))
	}
	except, _ := settings["except"].([]any)
	return !slices.Contains(except, any(builder))
}
