// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"io"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPrepareReportsEverythingWithinASecondAndRunsNothing(t *testing.T) {
	log.SetOutput(io.Discard)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	trace := filepath.Join(t.TempDir(), "ran")
	source := imageSource(t, map[string]string{
		"script/compile.sh":  "#!/bin/sh\ntouch " + trace + "\n",
		"cloudinit/10_a.cfg": "#cloud-config\npower_state: {}\n",
		"cloudinit/20_b.cfg": "#cloud-config\nwrite_files:\n- path: /x\n  permissions: 0644\n",
	})
	began := time.Now()
	var p Provisioner
	err := p.Prepare(map[string]any{
		"source": source, "fs_inline_limit": 20000, "execute_command": "sudo true", "remote_folder": "tmp dir",
		"compile_env": map[string]string{"A-B": "x"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		source + "/cloudinit/10_a.cfg:2:1", source + "/cloudinit/20_b.cfg:4:16", "fs_inline_limit is 20000",
		"execute_command \"sudo true\"", "remote_folder \"tmp dir\"", "\"A-B\"",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\nlacks %q", err, want)
		}
	}
	if spent := time.Since(began); spent > time.Second {
		t.Errorf("it took %s", spent)
	}
	if _, err := os.Stat(trace); err == nil {
		t.Error("compile.sh ran")
	}
}

func TestPrepareRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		settings map[string]any
		want     string
	}{
		"no source":                  {map[string]any{}, "source is missing"},
		"a source that is not there": {map[string]any{"source": "/nowhere/image"}, "/nowhere/image"},
		"a setting that does not exist": {
			map[string]any{"source": imageSource(t, nil), "env": map[string]string{}}, "env",
		},
		"a template that cannot be rendered": {
			map[string]any{"source": imageSource(t, nil), "execute_command": "sudo {{ .Command"}, "execute_command",
		},
		"an unknown failure to ignore": {
			map[string]any{"source": imageSource(t, nil), "ignore_failures": []string{"runcmd"}}, "|| true",
		},
		"a warning, when warnings are errors": {
			map[string]any{
				"source": imageSource(t, map[string]string{"cloudinit/10_a.cfg": "#cloud-config\nrun_cmd: []\n"}),
				"strict": true,
			}, "run_cmd",
		},
	} {
		t.Run(name, func(t *testing.T) {
			var p Provisioner
			if err := p.Prepare(c.settings); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestPrepareAcceptsUnknownValues(t *testing.T) {
	for _, settings := range []map[string]any{
		{"source": "<unknown>"},
		{"source": "a/<unknown>/b", "execute_command": "<unknown>", "remote_folder": "<unknown>"},
		{"source": imageSource(t, nil), "compile_env": map[string]string{"A": "<unknown>"}},
	} {
		var p Provisioner
		if err := p.Prepare(settings); err != nil {
			t.Errorf("%v: %v", settings, err)
		}
	}
}

func TestTheSpecHasEverySetting(t *testing.T) {
	spec := (&Provisioner{}).ConfigSpec()
	for _, name := range []string{"source", "compile_env", "strict", "fs_inline_limit", "execute_command",
		"remote_folder", "ignore_failures"} {
		if !slices.Contains(keys(spec), name) {
			t.Errorf("it lacks %s", name)
		}
	}
}

func keys[V any](m map[string]V) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	return names
}
