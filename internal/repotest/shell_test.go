// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

func TestShellScriptsPassShellcheck(t *testing.T) {
	root := packertest.Root()
	list := packertest.Run(t, root, os.Environ(), filepath.Join(root, "tools", "shell-files.sh"))
	files := strings.Fields(list.Output)
	for _, wanted := range []string{".ci/run", "tools/setup.sh", "example/jenkins/build-ami.sh"} {
		if !slices.Contains(files, wanted) {
			t.Errorf("tools/shell-files.sh does not list %s; it lists %q", wanted, files)
		}
	}
	if result := packertest.Run(t, root, os.Environ(), append([]string{"shellcheck"}, files...)...); result.Code != 0 {
		t.Errorf("shellcheck: exit code %d\n%s", result.Code, result.Output)
	}
}
