// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"fmt"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// checkReservedKeys reports and removes keys that a part may not set.
func (p *part) checkReservedKeys(root *yaml.Node) {
	if key, _ := entry(root, "power_state"); key != nil {
		p.errorAt(key, "power_state belongs to bakery, which powers the machine off itself once it has cleaned up "+
			"and reported: remove it")
		removeEntry(root, "power_state")
	}
	for _, name := range []string{"merge_how", "merge_type"} {
		if key, _ := entry(root, name); key != nil {
			p.warnAt(key, "%s is ignored: parts are merged while compiling, lists append, maps merge and a later "+
				"scalar wins", name)
			removeEntry(root, name)
		}
	}
}

// octal matches what cloud-init can convert to file permissions (cloudinit/config/cc_write_files.py, decode_perms).
var octal = regexp.MustCompile(`^(0o)?[0-7]+$`)

// checkPermissions checks the modes of write_files. A number without quotes is a common mistake: `644` is decimal.
func (p *part) checkPermissions(root *yaml.Node) {
	_, files := entry(root, "write_files")
	if files == nil || files.Kind != yaml.SequenceNode {
		return
	}
	for _, file := range files.Content {
		_, mode := entry(file, "permissions")
		if mode == nil || mode.Kind != yaml.ScalarNode {
			continue
		}
		switch kind := typeOf(mode); {
		case kind == tagInt || kind == tagFloat:
			p.errorAt(mode, "permissions %s: %s, quote it: '%s'", mode.Value, wrongMode(mode.Value),
				rightMode(mode.Value))
		case kind == tagString && !octal.MatchString(mode.Value):
			p.warnAt(mode, "permissions %q is not an octal number, so cloud-init would take 0644: write it as '0644'",
				shorten(mode.Value))
		}
	}
}

// wrongMode describes what cloud-init does with a mode that was written as a number.
func wrongMode(text string) string {
	if decimal, err := strconv.ParseUint(text, 10, 16); err == nil && text[0] != '0' {
		return fmt.Sprintf("the decimal number %s is mode %04o", text, decimal)
	}
	return "a number where cloud-init wants text"
}

// rightMode returns the mode that the author most likely meant.
func rightMode(text string) string {
	if octal.MatchString(text) && len(text) == 3 {
		return "0" + text
	}
	if octal.MatchString(text) {
		return text
	}
	return "0644"
}
