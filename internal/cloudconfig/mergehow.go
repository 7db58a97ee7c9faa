// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MergeHow says how cloud-init would merge a part into those before it.
// Source: cloudinit/mergers/__init__.py, m_dict.py, m_list.py.
type MergeHow struct {
	// Given is false when the part says nothing: then a key of the part replaces that of an earlier part.
	Given bool
	// Like says that the result is that of [Merge]: lists are appended, maps merged.
	Like bool
	// KeepsEarlier says that of two values that are neither lists nor maps, the earlier stays.
	KeepsEarlier bool
}

// MergeHow returns what the part's merge_how says, or merge_type, or a MIME header with the same text, of which
// cloud-init uses the first. The error is what cloud-init would drop the part for.
func (d *Document) MergeHow(header string) (MergeHow, error) {
	options, err := mergeOptions(d.mergeHow)
	if err == nil && d.mergeHow == nil && header != "" {
		options, err = parseMergeHow(header)
	}
	if err != nil || len(options) == 0 {
		return MergeHow{}, err
	}
	dict, list := options["dict"], options["list"]
	replace := slices.Contains(dict, "replace")
	recurse := slices.Contains(dict, "recurse_array") || slices.Contains(dict, "recurse_list")
	return MergeHow{
		Given:        true,
		Like:         !replace && recurse && slices.Contains(list, "append"),
		KeepsEarlier: !replace,
	}, nil
}

// mergeOptions returns the options of each merger of a merge_how, which is a text, or a list of {name, settings}.
func mergeOptions(how *yaml.Node) (map[string][]string, error) {
	switch {
	case how == nil || isNull(how):
		return nil, nil
	case how.Kind == yaml.ScalarNode && typeOf(how) == tagString:
		return parseMergeHow(how.Value)
	case how.Kind != yaml.SequenceNode:
		return nil, errMergeHow
	}
	options := map[string][]string{}
	for _, item := range how.Content {
		_, name := entry(item, "name")
		_, settings := entry(item, "settings")
		if name == nil || settings == nil || settings.Kind != yaml.SequenceNode || !isMerger(name.Value) {
			return nil, errMergeHow
		}
		var words []string
		for _, s := range settings.Content {
			words = append(words, s.Value)
		}
		options[name.Value] = words
	}
	return options, nil
}

var errMergeHow = errors.New(
	"is nothing cloud-init understands, and it would drop the part: write list(append)+dict(recurse_list)+str()",
)

var mergerPattern = regexp.MustCompile(`^([a-z_][a-z0-9_]*)\((.*?)\)$`)

func isMerger(name string) bool { return slices.Contains([]string{"dict", "list", "str"}, name) }

// parseMergeHow parses a text such as list(append)+dict(recurse_list)+str().
func parseMergeHow(text string) (map[string][]string, error) {
	options := map[string][]string{}
	for one := range strings.SplitSeq(text, "+") {
		one = strings.ReplaceAll(strings.ToLower(strings.TrimSpace(one)), "-", "_")
		if one == "" {
			continue
		}
		m := mergerPattern.FindStringSubmatch(one)
		if m == nil || !isMerger(m[1]) {
			return nil, errMergeHow
		}
		for word := range strings.SplitSeq(m[2], ",") {
			options[m[1]] = append(options[m[1]], strings.TrimSpace(word))
		}
	}
	return options, nil
}
