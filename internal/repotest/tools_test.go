// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// tool runs a script of tools/ with stubs in place of the named programs.
func tool(t *testing.T, stubs map[string]string, arguments ...string) packertest.Result {
	t.Helper()

	bin := t.TempDir()
	for name, script := range stubs {
		write(t, filepath.Join(bin, name), "#!/bin/sh\n"+script+"\n", 0o755)
	}
	arguments[0] = filepath.Join(packertest.Root(), "tools", arguments[0])

	return packertest.Run(t, t.TempDir(), []string{"PATH=" + bin + ":/usr/bin:/bin"}, arguments...)
}

func TestAsRootUsesSudoOnlyForOtherUsers(t *testing.T) {
	for name, test := range map[string]struct {
		stubs map[string]string
		want  string
	}{
		"as root": {map[string]string{"id": "echo 0", "sudo": "echo sudo"}, "ran\n"},
		"as another user": {
			map[string]string{"id": "echo 1000", "sudo": `[ "$1 $2" = "-E -H" ] && shift 2 && exec "$@"`}, "ran\n",
		},
		"with Go": {map[string]string{"id": "echo 1000", "go": "echo /modules", "sudo": `echo "$@"`},
			"GOMODCACHE=/modules"},
	} {
		t.Run(name, func(t *testing.T) {
			if result := tool(t, test.stubs, "as-root.sh", "echo", "ran"); !strings.Contains(result.Output, test.want) {
				t.Errorf("exit code %d, output %q, want %q", result.Code, result.Output, test.want)
			}
		})
	}
}

func TestSetupInstallsNothingWhenEverythingIsInstalled(t *testing.T) {
	// The package awscli is installed when the tests run. A broken shim before it in PATH must not matter.
	if result := tool(t, map[string]string{"aws": "exit 1", "apt-get": "echo installed; exit 1"}, "setup.sh",
		"test"); result.Code != 0 {
		t.Errorf("with everything installed: exit code %d\n%s", result.Code, result.Output)
	}
	if result := tool(t, nil, "setup.sh", "kitchen"); result.Code != 2 || !strings.Contains(result.Output, "usage") {
		t.Errorf("with an unknown word: exit code %d\n%s", result.Code, result.Output)
	}
}

func TestVulncheckRunsWhenItsDatabaseCanBeReached(t *testing.T) {
	for name, test := range map[string]struct {
		stubs     map[string]string
		arguments []string
		code      int
		says      string
	}{
		"nothing found":   {map[string]string{"curl": "exit 0", "go": `echo "$@"`}, nil, 0, "govulncheck"},
		"something found": {map[string]string{"curl": "exit 0", "go": "exit 3"}, nil, 3, ""},
		"out of reach":    {map[string]string{"curl": "exit 6", "go": "exit 3"}, nil, 0, "NOT CHECKED"},
		"out of reach and --always": {map[string]string{"curl": "exit 6", "go": "exit 0"}, []string{"--always"}, 1,
			"NOT CHECKED"},
	} {
		t.Run(name, func(t *testing.T) {
			result := tool(t, test.stubs, append([]string{"vulncheck.sh"}, test.arguments...)...)
			if result.Code != test.code || !strings.Contains(result.Output, test.says) {
				t.Errorf("exit code %d, want %d; output %q", result.Code, test.code, result.Output)
			}
		})
	}
}
