// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"fmt"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// checkReservedKeys reports and removes keys that a part may not set. It returns the value of merge_how or merge_type.
func (p *part) checkReservedKeys(root *yaml.Node) (mergeHow *yaml.Node) {
	if key, _ := entry(root, "power_state"); key != nil {
		if p.userData {
			p.warnAt(key, "power_state is left out: bakery powers the machine off itself once it has cleaned up and "+
				"reported")
		} else {
			p.errorAt(key, "power_state belongs to bakery, which powers the machine off itself once it has cleaned "+
				"up and reported: remove it")
		}
		removeEntry(root, "power_state")
	}
	if key, _ := entry(root, "ssh_keys"); key != nil {
		p.warnAt(key, "the clean-up of a bake removes host keys, so these will not be in the image: set skip_cleanup "+
			"= [\"ssh_files\"]")
	}
	for _, name := range []string{"merge_type", "merge_how"} { // cloud-init uses the latter when there are both
		key, value := entry(root, name)
		if key == nil {
			continue
		}
		if mergeHow = value; !p.userData {
			p.warnAt(key, "%s is ignored: parts are merged while compiling, lists append, maps merge and a later "+
				"scalar wins", name)
		}
		removeEntry(root, name)
	}
	return mergeHow
}

// octal matches what cloud-init can convert to file permissions (cloudinit/config/cc_write_files.py, decode_perms).
var octal = regexp.MustCompile(`^(0o)?[0-7]+$`)

// yamlOctal matches a number that PyYAML reads as octal. cloud-init takes it as the mode it is.
var yamlOctal = regexp.MustCompile(`^0[0-7]+$`)

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
		case p.userData && kind == tagInt && yamlOctal.MatchString(mode.Value): // it works, and many files have it
			p.warnAt(mode, "permissions %s: a number, which YAML 1.1 reads as octal and YAML 1.2 does not: quote it: "+
				"'%s'", mode.Value, mode.Value)
		case kind == tagInt || kind == tagFloat:
			p.errorAt(mode, "permissions %s: %s, quote it: '%s'", mode.Value, wrongMode(mode.Value),
				rightMode(mode.Value))
		case kind == tagString && !octal.MatchString(mode.Value):
			p.errorAt(mode, "permissions %q is not an octal number, so cloud-init would take 0644: write it as '0644'",
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
