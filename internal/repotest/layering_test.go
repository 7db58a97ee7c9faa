// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

const module = "github.com/amibakery/packer-plugin-bakery"

// forbidden are the modules a pure package may not reach, not even through another package.
var forbidden = []string{"github.com/hashicorp/", "github.com/aws/", "github.com/zclconf/"}

func TestPurePackagesReachNeitherPackerNorAWS(t *testing.T) {
	for _, name := range []string{"problem", "shell", "cloudconfig", "imagesource", "archive", "bundle", "guest", "terminal", "timeless"} {
		t.Run(name, func(t *testing.T) {
			deps := dependencies(t, module+"/internal/"+name)
			for _, dep := range deps {
				if slices.ContainsFunc(forbidden, func(prefix string) bool { return strings.HasPrefix(dep, prefix) }) {
					t.Errorf("internal/%s reaches %s", name, dep)
				}
			}
		})
	}
}

func TestThePluginDoesNotContainTheLab(t *testing.T) {
	for _, dep := range dependencies(t, module) {
		if strings.HasPrefix(dep, module+"/internal/lab") {
			t.Errorf("the plugin reaches %s", dep)
		}
	}
}

func dependencies(t *testing.T, pkg string) []string {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", pkg)
	cmd.Dir = packertest.Root()
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list -deps %s: %v\n%s", pkg, err, complaints.String())
	}

	return strings.Fields(string(out))
}
