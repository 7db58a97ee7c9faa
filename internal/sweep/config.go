// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:generate go tool -modfile=../../tools/go.mod packer-sdc struct-markdown

package sweep

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/packer-plugin-sdk/template/config"
)

// SweepConfig says what becomes of what killed bakes have left behind.
type SweepConfig struct {
	// Remove what killed bakes have left in the account, while this one bakes: machines with their volumes, security
	// groups, spot requests, and images that never became available with their snapshots, in the region of the build
	// and those of `ami_regions`; what is staged below the `url` of `staging`; temporary roles where the template has
	// one itself. Only what has expired is removed, which takes longer than any bake that is alive, never an image that
	// is available, and only what a bake is proved to have made, by the tag `bakery:self` with the resource's own id,
	// its client token or its name: copied tags prove nothing. What lacks the proof is named, with the command that
	// removes it. The [policies](https://github.com/amibakery/packer-plugin-bakery/blob/main/docs/iam/README.md) for
	// people who bake have the rights for it; without one of them there is a warning, and the bake goes on. Default:
	// `true`.
	Sweep config.Trilean `mapstructure:"sweep"`
	// Do nothing but sweep: bake nothing, make no image, say what was removed, and fail when something could not be. No
	// other settings are needed than those of access, `ami_regions` for further regions, and `staging` with its `url`.
	// Conflicts with everything that says what to bake. Default: `false`.
	SweepOnly bool `mapstructure:"sweep_only"`
}

// Check returns what is wrong with the settings of a source that only sweeps. bakes are the settings that say what to
// bake, with their values by their names; none of them may be set.
func (c *SweepConfig) Check(bakes map[string]string) ([]string, []error) {
	var errs []error
	if c.Sweep.False() {
		errs = append(errs, errors.New("sweep_only = true conflicts with sweep = false: remove one of them"))
	}
	var set []string
	for name, value := range bakes {
		if value != "" {
			set = append(set, name)
		}
	}
	if len(set) > 0 {
		slices.Sort(set)
		errs = append(errs, fmt.Errorf("sweep_only = true bakes nothing, so %s would have no effect: "+
			"remove one or the other", strings.Join(set, ", ")))
	}
	return nil, errs
}
