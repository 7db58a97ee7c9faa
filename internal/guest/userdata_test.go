// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"encoding/base64"
	"strings"
	"testing"
)

func TestWrapAcceptsEveryFormCloudInitReads(t *testing.T) {
	script := []byte("#!/bin/sh\necho hi\n")
	multi := []byte(
		"Content-Type: multipart/mixed; boundary=\"x\"\nMIME-Version: 1.0\n\n--x\nContent-Type: " +
			"text/x-shellscript\n\n#!/bin/sh\n\n--x--\n",
	)
	for name, c := range map[string]struct {
		userData    []byte
		contentType string
		parts       int
	}{
		"a script":         {script, "text/x-shellscript", 2},
		"a script, gzip":   {Compress(script), "text/x-shellscript", 2},
		"a script, base64": {[]byte(base64.StdEncoding.EncodeToString(script)), "text/x-shellscript", 2},
		"a script, gzip and base64": {[]byte(base64.StdEncoding.EncodeToString(Compress(script))),
			"text/x-shellscript", 2},
		"cloud-config": {[]byte("\n#cloud-config\npackages: []\n"), "text/cloud-config", 2},
		"cloud-config with power_state": {[]byte("#cloud-config\npower_state: {mode: poweroff}\n"), "text/cloud-config",
			3},
		"an archive":                 {[]byte("#cloud-config-archive\n[]\n"), "text/cloud-config-archive", 3},
		"an include":                 {[]byte("#include\nhttp://x\n"), "text/x-include-url", 3},
		"an include, once":           {[]byte("#include-once\nhttp://x\n"), "text/x-include-once-url", 3},
		"a boothook":                 {[]byte("#cloud-boothook\n#!/bin/sh\n"), "text/cloud-boothook", 2},
		"a part handler":             {[]byte("#part-handler\n"), "text/part-handler", 3},
		"a template":                 {[]byte("## template: jinja\n#cloud-config\n"), "text/jinja2", 3},
		"MIME":                       {multi, `multipart/mixed; boundary="x"`, 3},
		"a script that is not ASCII": {[]byte("#!/bin/sh\necho \xc3\xa9\n"), "text/x-shellscript", 2},
	} {
		t.Run(name, func(t *testing.T) {
			document, err := Wrap(c.userData)
			if err != nil {
				t.Fatal(err)
			}
			parts := read(t, document)
			if parts[0][0] != c.contentType || len(parts) != c.parts || parts[len(parts)-1][1] != "bakery.sh" {
				t.Errorf("got %d parts, the first %q %q", len(parts), parts[0][0], parts[0][1])
			}
		})
	}
}

func TestWrapSeparatesErrorsOfUserDataFromThoseOfTheBaseImage(t *testing.T) {
	for name, c := range map[string]struct{ userData, want string }{
		"a script": {"#!/bin/sh\n", "_ scripts_user"},
		"cloud-config": {
			"#cloud-config\n---\n# one\nruncmd:\n- a\n\nwrite_files:\r\n  - path: /x\n",
			"_ runcmd scripts_user write_files write_files_deferred",
		},
		"cloud-config that is empty": {"#cloud-config\n", "_ scripts_user"},
		"cloud-config with packages": {"#cloud-config\npackages: [a]\n",
			"_ package_update_upgrade_install scripts_user"},
		"cloud-config in the form of JSON":    {"#cloud-config\n{\"packages\": []}\n", "*"},
		"cloud-config with quotes round keys": {"#cloud-config\n\"packages\": []\n", "*"},
		"a boothook":                          {"#cloud-boothook\n", "*"},
		"an include":                          {"#include\nhttp://x\n", "*"},
	} {
		t.Run(name, func(t *testing.T) {
			part, err := opaquePart([]byte(c.userData))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(part.program().modules(), " "); got != c.want {
				t.Errorf("the modules whose errors count are %q, want %q", got, c.want)
			}
		})
	}
}

func TestWrapRefuses(t *testing.T) {
	for name, c := range map[string]struct{ userData, want string }{
		"text":                   {"hello, world!", "nothing cloud-init reads"},
		"nothing":                {"", "nothing cloud-init reads"},
		"a broken gzip":          {"\x1f\x8b\x08", "decompressing"},
		"a mail that is no MIME": {"Subject: x\n\nhello", "nothing cloud-init reads"},
		"MIME that is not ASCII": {"Content-Type: multipart/mixed; boundary=\"x\"\n\n--x\n\n\xff\n--x--\n",
			"not ASCII"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Wrap([]byte(c.userData)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestDecompressIsBounded(t *testing.T) {
	if _, err := Decompress(Compress(make([]byte, maxDocument+1))); err == nil {
		t.Error("a bomb was unpacked")
	}
	if _, err := Decompress([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xffxxxxxxxx")); err == nil {
		t.Error("a broken gzip was unpacked")
	}
	got, err := Decompress(Compress([]byte("text")))
	if err != nil || string(got) != "text" {
		t.Errorf("got %q, %v", got, err)
	}
}

func FuzzWrap(f *testing.F) {
	f.Add([]byte("#cloud-config\n"))
	f.Add([]byte("Content-Type: multipart/mixed; boundary=\"x\"\n\n--x\n\n--x--\n"))
	f.Fuzz(func(t *testing.T, userData []byte) {
		document, err := Wrap(userData)
		if err != nil {
			return
		}
		if _, err := Deliver(document, Delivery{BakeID: testID, Timeout: 1e9}); err != nil {
			t.Errorf("a delivery cannot be added to a wrapped document: %v", err)
		}
	})
}
