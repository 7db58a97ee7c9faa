// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imagesource

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzRead: Read returns a source for every Image-Source, and its problems have messages.
func FuzzRead(f *testing.F) {
	f.Add("60_app.cfg", []byte("#cloud-config\nruncmd: [a]\n"), "etc/motd", []byte("NAME=a\n"), []byte("#!/bin/sh\n"),
		[]byte("# Hello\n\nThere\n"))
	f.Add("60_app.yml", []byte("#!/bin/sh\n"), "var/run/fs.tgz", []byte("NAME=$(id)\n"), []byte("\x7fELF"),
		[]byte("\xff"))
	f.Add("../x.cfg", []byte("## template: jinja\n#cloud-config\n"), "lib", []byte("\x00"), []byte("#!"),
		[]byte("\r\n"))
	f.Fuzz(func(t *testing.T, part string, content []byte, file string, env, install, readme []byte) {
		if !filepath.IsLocal(part) || !filepath.IsLocal(file) || strings.ContainsRune(part+file, 0) ||
			len(part) > 100 || len(file) > 500 {
			return
		}
		dir := t.TempDir()
		for name, bytes := range map[string][]byte{
			filepath.Join("cloudinit", part): content, filepath.Join("fs", file): content,
			"ami.env": env, "script/install.sh": install, "readme.md": readme,
		} {
			path := filepath.Join(dir, name)
			if os.MkdirAll(filepath.Dir(path), 0o755) != nil || os.WriteFile(path, bytes, 0o755) != nil {
				return // a name that ends in a slash, or is too long
			}
		}
		source, problems := Read(dir)
		for _, p := range problems {
			if p.Message == "" {
				t.Errorf("a problem without words: %#v", p)
			}
		}
		if source == nil {
			t.Fatal("no source")
		}
		for _, p := range source.Parts {
			if strings.Contains(p.Name, "/") {
				t.Errorf("the part %q is in another directory", p.Name)
			}
		}
	})
}
