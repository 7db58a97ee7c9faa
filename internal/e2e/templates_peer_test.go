// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build peer

package e2e

import (
	"regexp"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// TestPeerTemplates checks that the real amazon-ebs validates the thirty templates.
func TestPeerTemplates(t *testing.T) {
	plugins := withAnsible(t, strings.TrimPrefix(packertest.Peer(t), "PACKER_PLUGIN_PATH="))
	for _, name := range templateNames(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := packertest.Env(t, "PACKER_PLUGIN_PATH="+plugins)
			c := original(t, name, placeholders)
			for _, warning := range packertest.ValidatePeer(t, c.dir, env, append(c.vars, c.file)...) {
				t.Errorf("amazon-ebs says: %s", warning)
			}
		})
	}
}

// reaching matches the settings for the connection to the machine that the lab does not have: a bastion, the session
// manager and the public address of this computer.
var reaching = regexp.MustCompile(`(?m)^\s*"?(?:ssh_interface|session_manager_port|ssh_bastion_\w+|` +
	`temporary_security_group_source_\w+|security_group_ids?)"?\s*[=:].*\n|` +
	`^\s*security_group_filter \{(?:[^{}]|\{[^{}]*\})*\}\n`)

// TestPeerTemplatesBake bakes the originals over SSH, and checks their images with the same verify.sh.
func TestPeerTemplatesBake(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	plugins := withAnsible(t, strings.TrimPrefix(packertest.Peer(t), "PACKER_PLUGIN_PATH="))
	for _, name := range templateNames(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := original(t, name, l.values)
			c.rewrite(t, func(text string) string { return reaching.ReplaceAllString(text, "") })
			l.bakeTemplate(t, c, plugins)
		})
	}
}
