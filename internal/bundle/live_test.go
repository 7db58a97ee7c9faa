// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCompileLiveWritesEvenASmallFsToAFile(t *testing.T) {
	source := imageSource(t, map[string]string{
		"fs/etc/app.conf":        "x\n",
		"cloudinit/10_users.cfg": "#cloud-config\nusers: [default]\npackages: [nginx]\nruncmd: [\"true\"]\n",
		"cloudinit/20_run.cfg":   "#cloud-config\nruncmd: [\"true\"]\n",
		"cloudinit/60_a.sh":      "#!/bin/sh\n",
		"script/compile.sh": "#!/bin/sh\nprintf '#cloud-config\\ntimezone: UTC\\n' >cloudinit/30_made.cfg\n" +
			"echo \"$GIVEN\"\n",
	})
	target := t.TempDir()
	var lines []string
	o := Options{Source: source, Target: target, Env: map[string]string{"GIVEN": "shown"},
		Output: func(line string) { lines = append(lines, line) }}
	got, err := CompileLive(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"cloudinit/10_users.cfg: users, packages", "cloudinit/30_made.cfg: timezone"}
	if diff := cmp.Diff(want, got.CloudInit); diff != "" {
		t.Errorf("what needs cloud-init, -want +got:\n%s", diff)
	}
	if err := got.FS.verify(); err != nil || got.FS.Path != filepath.Join(target, FSName) {
		t.Errorf("fs.tgz is at %s: %v", got.FS.Path, err)
	}
	if len(got.Program.Before) != 2 || len(got.Program.After) != 1 || got.Program.Files.Staged() ||
		len(got.Program.CloudConfig) == 0 {
		t.Errorf("the program is %+v", got.Program)
	}
	if diff := cmp.Diff([]string{"shown"}, lines); diff != "" {
		t.Errorf("compile.sh printed, -want +got:\n%s", diff)
	}
	if left, err := os.ReadDir(target); err != nil || len(left) != 1 {
		t.Errorf("the target holds %v: %v", left, err)
	}
}

func TestCompileLiveNeedsNothingForCommandsAlone(t *testing.T) {
	got, err := CompileLive(t.Context(), Options{
		Source: imageSource(t, map[string]string{"cloudinit/60_a.cfg": "#cloud-config\nruncmd: [\"true\"]\n"}),
		Target: t.TempDir(),
	})
	if err != nil || len(got.CloudInit) > 0 || got.FS.Path != "" || len(got.Program.CloudConfig) > 0 {
		t.Errorf("got %+v: %v", got, err)
	}
}

func TestCompileLiveFailsAsCompileDoes(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"a part with a mistake": {map[string]string{"cloudinit/10_a.cfg": "#cloud-config\npower_state: {}\n"},
			"10_a.cfg:2:1"},
		"a compile.sh that ends": {map[string]string{"script/compile.sh": "#!/bin/sh\nexit 3\n"}, "exit code 3"},
	} {
		t.Run(name, func(t *testing.T) {
			target := filepath.Join(t.TempDir(), "target")
			_, err := CompileLive(t.Context(), Options{Source: imageSource(t, c.files), Target: target})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if _, err := os.Stat(target); err == nil {
				t.Error("it left the target behind")
			}
		})
	}
}
