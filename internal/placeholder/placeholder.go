// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package placeholder has the text that Packer renders in place of a value it does not know yet. The package is pure:
// it may not know where such a text comes from.
package placeholder

import "strings"

// Unknown is what Packer passes in place of a string that is not known while a template is only validated.
const Unknown = "<unknown>"

// In reports whether a text is Unknown, or was rendered with it.
func In(text string) bool { return strings.Contains(text, Unknown) }
