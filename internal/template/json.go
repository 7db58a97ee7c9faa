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

// readJSON returns the provisioners of a legacy JSON template that run for a builder.
func readJSON(file string, content []byte, builder string) []Provisioner {
	decoder := json.NewDecoder(bytes.NewReader(content))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil
		}
		if key != "provisioners" {
			var skipped json.RawMessage
			if decoder.Decode(&skipped) != nil {
				return nil
			}
			continue
		}
		return readJSONProvisioners(decoder, file, content, builder)
	}
	return nil
}

func readJSONProvisioners(decoder *json.Decoder, file string, content []byte, builder string) []Provisioner {
	if token, err := decoder.Token(); err != nil || token != json.Delim('[') {
		return nil
	}
	var found []Provisioner
	for decoder.More() {
		from := int(decoder.InputOffset())
		var settings map[string]any
		if decoder.Decode(&settings) != nil {
			return found
		}
		if !runsForBuilder(settings, builder) {
			continue
		}
		p := Provisioner{Uses: renderedVariables(file, content, from, int(decoder.InputOffset()))}
		p.Type, _ = settings["type"].(string)
		for name, value := range settings {
			if value == true {
				p.True = append(p.True, name)
			}
		}
		begin := from + max(0, bytes.IndexByte(content[from:], '{'))
		p.File, p.Line = file, bytes.Count(content[:begin], []byte("\n"))+1
		p.Downloads = settings[settingDirection] == "download"
		codes, _ := settings[settingExitCodes].([]any)
		for _, code := range codes {
			if n, ok := code.(float64); ok {
				p.ExitCodes = append(p.ExitCodes, int(n))
			}
		}
		slices.Sort(p.True)
		found = append(found, p)
	}
	return found
}

// runsForBuilder reports whether a provisioner runs for a builder, by its only and except.
func runsForBuilder(settings map[string]any, builder string) bool {
	if only, ok := settings["only"].([]any); ok && len(only) > 0 {
		return slices.Contains(only, any(builder))
	}
	except, _ := settings["except"].([]any)
	return !slices.Contains(except, any(builder))
}
