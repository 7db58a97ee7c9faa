// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build peer

package e2e

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// TestPeerTemplates checks that the real amazon-ebs validates the forty templates.
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

// guestUsers are the users of the base images whose cloud-init makes another one than Debian's.
var guestUsers = map[string]string{"el": "ec2-user", "al2": "ec2-user"}

// onAnyGuest matches the templates that start from any base image, and look for nothing that only Debian has.
var onAnyGuest = regexp.MustCompile(`^(3[1-9]|40)-`)

// TestPeerTemplatesOnGuests bakes ten templates with both builders on every suite of -guests: the outcome is the same,
// and so are the images, but for what the manual lists.
func TestPeerTemplatesOnGuests(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	plugins := withAnsible(t, strings.TrimPrefix(packertest.Peer(t), "PACKER_PLUGIN_PATH="))
	onPeerGuests(t, func(t *testing.T, suite string) {
		values := maps.Clone(l.values)
		values["BAKERY_LAB_AMI"] = l.values["BAKERY_LAB_AMI_"+strings.ToUpper(suite)]
		values["BAKERY_LAB_USER"] = cmp.Or(guestUsers[suite], l.values["BAKERY_LAB_USER"])
		for _, name := range templateNames(t) {
			if !onAnyGuest.MatchString(name) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				l.bakeTemplateWithBoth(t, name, values, plugins)
			})
		}
	})
}

// bakeTemplateWithBoth bakes a template with both builders, and compares what comes out.
func (l *lab) bakeTemplateWithBoth(t *testing.T, name string, values map[string]string, plugins string) {
	t.Helper()
	copies := []migratedTemplate{original(t, name, values), migrate(t, name, values)}
	names := []string{testName(t) + "-before", testName(t) + "-after"}
	results := make([]packertest.Result, len(copies))
	env := append(l.environ(t), "PACKER_PLUGIN_PATH="+plugins)
	var bakes sync.WaitGroup
	for i, c := range copies {
		arguments := append(slices.Clone(c.vars), "-var", "ami_name="+names[i], c.file)
		bakes.Go(func() { results[i] = l.packerBuild(t, c.dir, env, arguments...) })
	}
	bakes.Wait()
	if results[0].Code != results[1].Code {
		t.Fatalf("exit status %d over SSH, %d here", results[0].Code, results[1].Code)
	}
	before, after := l.images(t, names[0]), l.images(t, names[1])
	if len(before) != 1 || len(after) != 1 {
		t.Fatalf("images over SSH: %v, here: %v", before, after)
	}
	l.comparable(t, before[0], after[0])
}
