// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsfake

import (
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Parameters returns the parameters of a request that begin with one of the names, as "name=value", sorted.
func Parameters(request url.Values, names ...string) []string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(request)) {
		if slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(key, name) }) {
			all = append(all, key+"="+request.Get(key))
		}
	}
	return all
}

// Filters returns the filters of a request by their names.
func Filters(request url.Values) map[string][]string {
	all := map[string][]string{}
	for key, name := range request {
		prefix, isName := strings.CutSuffix(key, ".Name")
		if isName && strings.HasPrefix(prefix, "Filter.") {
			all[name[0]] = values(request, prefix+".Value.")
		}
	}
	return all
}

// Tags returns the tags that a request gives to a type of resource, such as "image".
func Tags(request url.Values, resource string) map[string]string {
	tags := map[string]string{}
	for key, kind := range request {
		prefix, isType := strings.CutSuffix(key, ".ResourceType")
		if !isType || kind[0] != resource {
			continue
		}
		for key, name := range request {
			if tag, isKey := strings.CutSuffix(key, ".Key"); isKey && strings.HasPrefix(tag, prefix+".Tag.") {
				tags[name[0]] = request.Get(tag + ".Value")
			}
		}
	}
	return tags
}

// values returns the values of the parameters that begin with a name, such as the ids that a request lists.
func values(request url.Values, name string) []string {
	var all []string
	for _, parameter := range Parameters(request, name) {
		_, text, _ := strings.Cut(parameter, "=")
		all = append(all, text)
	}
	return all
}
