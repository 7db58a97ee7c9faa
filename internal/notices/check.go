// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/google/licensecheck"
)

// allowed are the licences (SPDX ids) of modules that may be linked into a program under the MPL-2.0. They require only
// notices and, as the MPL itself does, the source of their own files.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "Unicode-DFS-2016"}

// recognized is how many percent of the words of a licence file must be words of known licences. The rest is copyright
// notices.
const recognized = 75

// licenceFile matches files that must contain a licence. NOTICE and PATENTS are additions to one.
var licenceFile = regexp.MustCompile(`(?i)(^|/)(licen[cs]e|copying)[^/]*$`)

// check returns an error for every module without a licence, or with one that is unknown or not allowed.
func check(modules []module) error {
	var errs []error
	for _, m := range modules {
		if len(m.ids()) == 0 {
			errs = append(errs, fmt.Errorf("%s %s has no licence that is known", m.Path, m.Version))
		}
		for _, n := range m.Notices {
			if !licenceFile.MatchString(n.Name) {
				continue
			}
			found := licensecheck.Scan([]byte(n.Text))
			if found.Percent < recognized {
				errs = append(errs, fmt.Errorf("%s %s: only %.0f %% of %s is a known licence", m.Path, m.Version,
					found.Percent, n.Name))
			}
			for _, match := range found.Match {
				if !slices.Contains(allowed, match.ID) {
					errs = append(errs, fmt.Errorf("%s %s: %s is %s, which is not one of %v", m.Path, m.Version, n.Name,
						match.ID, allowed))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// ids returns the licences of a module, each once.
func (m *module) ids() []string {
	var all []string
	for _, n := range m.Notices {
		if !licenceFile.MatchString(n.Name) {
			continue
		}
		for _, match := range licensecheck.Scan([]byte(n.Text)).Match {
			all = append(all, match.ID)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}
