// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build peer

package e2e

import (
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// TestPeerTemplates: the thirty templates are what they claim to be: the real amazon-ebs finds nothing wrong with them.
func TestPeerTemplates(t *testing.T) {
	plugins := withAnsible(t, strings.TrimPrefix(packertest.Peer(t), "PACKER_PLUGIN_PATH="))
	for _, name := range templateNames(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := packertest.Env(t, "PACKER_PLUGIN_PATH="+plugins)
			for _, warning := range original(t, name, imagined).validate(t, env) {
				t.Errorf("amazon-ebs says: %s", warning)
			}
		})
	}
}
