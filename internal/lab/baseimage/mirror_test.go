// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package baseimage

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOwnMirrorReadsAptsConfiguration(t *testing.T) {
	list := filepath.Join(t.TempDir(), "mirrors.list")
	if err := os.WriteFile(list, []byte("https://first.example/debian\tpriority:1\nhttps://second.example/debian\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		files map[string]string
		want  mirror
	}{
		"nothing configured": {},
		"one line per suite": {
			map[string]string{"sources.list": "# deb http://no.example/debian bookworm main\n" +
				"deb-src http://src.example/debian bookworm main\n" +
				"deb [arch=amd64 signed-by=/x.gpg] http://a.example/debian/ bookworm main contrib # ours\n" +
				"deb http://s.example/debian-security bookworm-security main\n"},
			mirror{"http://a.example/debian", "http://s.example/debian-security"},
		},
		"stanzas": {
			map[string]string{"sources.list.d/debian.sources": "Types: deb\n# a comment\nURIs: " +
				"http://a.example/debian\nSuites: trixie\n trixie-updates\nComponents: main\n\n" +
				"Types: deb deb-src\nURIs: http://s.example/debian-security\nSuites: trixie-security\n"},
			mirror{"http://a.example/debian", "http://s.example/debian-security"},
		},
		"a stanza that is switched off": {
			map[string]string{"sources.list.d/a.sources": "Enabled: no\nTypes: deb\nURIs: " +
				"http://off.example/debian\nSuites: trixie\n",
				"sources.list.d/b.list": "deb http://on.example/debian stable main"},
			mirror{archive: "http://on.example/debian"},
		},
		"other people's packages and another distribution": {
			map[string]string{"sources.list": "deb http://u.example/ubuntu noble main\ndeb http://u.example/ubuntu " +
				"noble-security main\ndeb https://docker.example/linux nodistro stable\n"},
			mirror{},
		},
		"the first wins": {
			map[string]string{"sources.list": "deb http://a.example/debian bookworm main\ndeb " +
				"http://b.example/debian trixie main\n"},
			mirror{archive: "http://a.example/debian"},
		},
		"backports are not the archive": {
			map[string]string{"sources.list": "deb http://b.example/debian bookworm-backports main\ndeb " +
				"http://a.example/debian bookworm main\n"},
			mirror{archive: "http://a.example/debian"},
		},
		"the security suite's old name": {
			map[string]string{"sources.list": "deb http://s.example/debian-security buster/updates main\n"},
			mirror{security: "http://s.example/debian-security"},
		},
		"a list of mirrors in a file": {
			map[string]string{"sources.list.d/debian.sources": "Types: deb\nURIs: mirror+file://" + list +
				"\nSuites: bookworm\n"},
			mirror{archive: "https://first.example/debian"},
		},
		"a disc is no mirror for a machine": {
			map[string]string{"sources.list": "deb cdrom:[Debian]/ bookworm main\ndeb http://a.example/debian " +
				"bookworm main\n"},
			mirror{archive: "http://a.example/debian"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			etc := t.TempDir()
			if err := os.Mkdir(filepath.Join(etc, "sources.list.d"), 0o700); err != nil {
				t.Fatal(err)
			}
			for file, content := range tc.files {
				if err := os.WriteFile(filepath.Join(etc, file), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(tc.want, ownMirror(etc), cmp.AllowUnexported(mirror{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSourcesListHasReleaseUpdatesAndSecurity(t *testing.T) {
	m := mirror{"http://a.example/debian", "http://s.example/debian-security"}
	want := []string{
		"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://a.example/debian bullseye main",
		"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://a.example/debian bullseye-updates main",
		"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://s.example/debian-security " +
			"bullseye-security main",
	}
	if diff := cmp.Diff(want, m.sourcesList("bullseye")); diff != "" {
		t.Error(diff)
	}
	if got := (mirror{}).sourcesList("bullseye"); got != nil {
		t.Errorf("without a mirror: %q", got)
	}
}
