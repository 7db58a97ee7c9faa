// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"cmp"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// In user data, whose size is limited, the names of the guest program are short: that is 5 % of it.

// programName matches a function or a variable of the guest program.
var programName = regexp.MustCompile(`\bbakery_[a-z0-9_]+`)

// recordedNames are the functions that recorded provisioners call. They keep their names.
var recordedNames = []string{
	"bakery_accept", "bakery_command", "bakery_pause", "bakery_try", "bakery_updir", "bakery_upload",
}

// cleanUpNames begin the functions of the clean-up, which are called by the names of its sections: these stay.
const (
	cleanUpNames      = "bakery_clean_"
	shortCleanUpNames = "_C"
)

// shortNames are the short names of the guest program, by the long ones. The most frequent are the first.
var shortNames = sync.OnceValue(func() map[string]string {
	count := map[string]int{}
	for _, name := range programName.FindAllString(string(programSource), -1) {
		count[name]++
	}
	var names []string
	for name := range count {
		if !slices.Contains(recordedNames, name) && !strings.HasPrefix(name, cleanUpNames) {
			names = append(names, name)
		}
	}
	sortByCount(names, count)
	short := map[string]string{}
	for i, name := range names {
		short[name] = shortName(i)
	}
	return short
})

// sortByCount sorts names by how often they occur, so that the most frequent ones get the shortest names.
func sortByCount(names []string, count map[string]int) {
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), strings.Compare(a, b))
	})
}

// shorten returns a part of the guest program with short names. The function bakery_dir, which the manifest of fs/
// calls, keeps its name, but not the variable.
func shorten(source []byte) []byte {
	const manifestCalls = "bakery_dir() {"
	names := shortNames()
	text := programName.ReplaceAllFunc(source, func(name []byte) []byte {
		if short, ok := names[string(name)]; ok {
			return []byte(short)
		}
		if section, ok := bytes.CutPrefix(name, []byte(cleanUpNames)); ok {
			return append([]byte(shortCleanUpNames), section...)
		}
		return name
	})
	return bytes.ReplaceAll(text, []byte("\n"+names["bakery_dir"]+"() {"), []byte("\n"+manifestCalls))
}
