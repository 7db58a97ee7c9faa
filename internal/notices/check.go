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

// allowed are the licences (SPDX ids) of what we may link into a program that is under the MPL-2.0, asking for no more than
// notices and, as the MPL itself, the source of the very files.
var allowed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MPL-2.0", "Unicode-DFS-2016"}

// recognized is how much of a licence file, in percent of its words, must be words of licences. The rest is copyright notices.
const recognized = 75

// licenceFile are notices that must be licences; NOTICE and PATENTS come with one.
var licenceFile = regexp.MustCompile(`(?i)(^|/)(licen[cs]e|copying)[^/]*$`)

// check names every module that has no licence, one that is not known, or one that is not allowed.
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
				errs = append(errs, fmt.Errorf("%s %s: only %.0f %% of %s is a known licence", m.Path, m.Version, found.Percent, n.Name))
			}
			for _, match := range found.Match {
				if !slices.Contains(allowed, match.ID) {
					errs = append(errs, fmt.Errorf("%s %s: %s is %s, which is not one of %v", m.Path, m.Version, n.Name, match.ID, allowed))
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
