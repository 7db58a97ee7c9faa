// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

var (
	// pythonWord matches a string, or a name with what makes it one that must stay: a dot before it, or the = of an
	// argument behind it. Assignments have blanks around theirs.
	pythonWord = regexp.MustCompile(`(?s)"""(?:\\.|[^\\])*?"""|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|` +
		`(\.?)\b([A-Za-z_]\w*)(=?)`)
	// pythonDefinition matches what gives names a meaning in a program.
	pythonDefinition = regexp.MustCompile(`(?m)^ *(?:def|class) (\w+)|^ *def \w+\(([\w, ]*)\)|^ *([\w, ()]+) = |` +
		`\bfor ([\w, ()]+) in |^ *with .* as (\w+):`)
	// pythonName matches the names in a list of them.
	pythonName = regexp.MustCompile(`\w+`)
)

// notShortened are names that Python itself gives a meaning.
var notShortened = strings.Fields("self list dict open type next all any map sum id input filter format hash iter " +
	"len max min object range repr set sorted str tuple bytes print not and or in is if else for lambda None True " +
	"False")

// sharedNames are the names that one of the programs imports from another. Each is the same in all of them.
var sharedNames = strings.Fields("Modules check_items check_log finding names_of plain read_keys read_log text_of")

// pythonSources are the programs in user data, by their names on the machine.
var pythonSources = map[string][]byte{
	"log_stream.py": logStreamSource, "s3get.py": s3getSource, "cloud_init.py": cloudInitSource,
	"cloud_keys.py": cloudKeysSource, "runcmd.py": runcmdSource, "asked_reboot.py": askedRebootSource,
	"wipe.py": wipeSource, "keys.py": keysSource, "facts.py": factsSource, "rules.py": rulesSource,
}

// attributeNames are the attributes, methods and named arguments of all programs: one may call a method of another's.
var attributeNames = sync.OnceValue(func() map[string]bool {
	names := map[string]bool{}
	for _, source := range pythonSources {
		for _, m := range pythonWord.FindAllSubmatch(strip(source), -1) {
			if isAttribute(m) {
				names[string(m[2])] = true
			}
		}
	}
	return names
})

// isAttribute reports whether a match of pythonWord is an attribute or a named argument.
func isAttribute(m [][]byte) bool { return len(m[1])+len(m[3]) > 0 }

// pythonProgram returns a Python program as it is in user data: without comments, and with short names.
func pythonProgram(source []byte) []byte { return shortenPython(strip(source)) }

// shortenPython returns a Python program with short names for what it defines itself. Attributes, methods, arguments
// that are named, and all that is in strings keep their names.
func shortenPython(text []byte) []byte {
	count, isKept := map[string]int{}, maps.Clone(attributeNames())
	for _, name := range slices.Concat(notShortened, sharedNames) { // the latter by another rule
		isKept[name] = true
	}
	for _, m := range pythonWord.FindAllSubmatch(text, -1) {
		name := string(m[2])
		if name == "" { // a string
			continue
		}
		count[name]++
		if isAttribute(m) || name[0] == '_' {
			isKept[name] = true
		}
	}
	short := map[string]string{}
	for i, name := range sharedNames {
		short[name] = strings.ToUpper(shortName(i))
	}
	for i, name := range pythonNames(text, count, isKept) {
		short[name] = shortName(i)
	}
	return pythonWord.ReplaceAllFunc(text, func(word []byte) []byte {
		if s, ok := short[string(word)]; ok {
			return []byte(s)
		}
		return word
	})
}

// pythonNames returns the names that a program defines and that can be replaced, the most frequent first.
func pythonNames(text []byte, count map[string]int, isKept map[string]bool) []string {
	const shortest = 3
	var names []string
	for _, m := range pythonDefinition.FindAllSubmatch(text, -1) {
		for _, name := range pythonName.FindAllString(string(bytes.Join(m[1:], []byte(","))), -1) {
			if !isKept[name] && len(name) >= shortest && count[name] > 0 && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	sortByCount(names, count)
	return names
}

// shortName returns a name for the i-th name of a program: a letter, two from the 27th on. A program that has it
// already would be wrong, so it begins with an underscore, as no name of ours does.
func shortName(i int) string {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	if i < len(letters) {
		return "_" + letters[i:i+1]
	}
	i -= len(letters)
	return "_" + letters[i/len(letters):][:1] + letters[i%len(letters):][:1]
}
