// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package setting

import "time"

// The limits and defaults of waiting for a machine and for an image.
const (
	DefaultTimeout  = 30 * time.Minute
	LeastTimeout    = 120 * time.Second // no machine boots, installs and stops in less
	DefaultInterval = 5 * time.Second
	LeastInterval   = time.Second // polling faster only makes AWS throttle
	MostInterval    = time.Minute // as the scripts in example/jenkins
)

// The values of the setting verdict.
const (
	VerdictReport = "report" // the machine reports success itself
	VerdictStop   = "stop"   // a machine that powered itself off counts as success
)
