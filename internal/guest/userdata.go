// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"regexp"
	"strings"
)

// maxDocument bounds what Decompress unpacks; cloud-init reads the whole into memory on a machine that may have 512 MiB.
const maxDocument = 64 << 20

// Compress makes user data of a document: gzip as small as it gets, the same bytes every time.
func Compress(document []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	_, _ = w.Write(document) // a bytes.Buffer takes everything
	_ = w.Close()
	return b.Bytes()
}

// Decompress returns the document in user data that may be compressed.
func Decompress(userData []byte) ([]byte, error) {
	if !bytes.HasPrefix(userData, []byte{0x1f, 0x8b}) {
		return userData, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(userData))
	if err != nil {
		return nil, fmt.Errorf("decompressing user data: %w", err)
	}
	document, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err != nil {
		return nil, fmt.Errorf("decompressing user data: %w", err)
	}
	if len(document) > maxDocument {
		return nil, fmt.Errorf("decompressing user data: more than %d bytes come out", maxDocument)
	}
	return document, nil
}

// starts maps the first line of user data to its MIME type, longest first where one begins like another.
// Source: INCLUSION_TYPES_MAP of cloudinit/handlers/__init__.py.
var starts = []struct{ prefix, contentType string }{
	{"#!", typeScript},
	{"#include-once", "text/x-include-once-url"},
	{"#include", "text/x-include-url"},
	{"#cloud-config-archive", "text/cloud-config-archive"},
	{"#cloud-config", typeCloudConfig},
	{"#cloud-boothook", typeBoothook},
	{"#part-handler", "text/part-handler"},
	{"## template: jinja", "text/jinja2"},
}

// mayPowerOff tells whether a part may configure a power_state. A script cannot; anything but a plain cloud-config may
// have one that is encoded, rendered on the machine, or fetched by it.
func (p mimePart) mayPowerOff() bool {
	switch p.contentType {
	case typeScript, typeBoothook:
		return false
	case typeCloudConfig:
		return bytes.Contains(p.content, []byte("power_state"))
	}
	return true
}

// Wrap makes a document of user data in any form cloud-init reads (script, cloud-config, MIME, gzip or base64 of
// these), so that the machine reports and finishes. A power_state in it is overridden: the guest program owns the
// power-off.
func Wrap(userData []byte) ([]byte, error) {
	content, err := Decompress(unbase64(userData))
	if err != nil {
		return nil, err
	}
	part, err := opaquePart(content)
	if err != nil {
		return nil, err
	}
	parts := []mimePart{part}
	if part.mayPowerOff() {
		parts = append(parts, mimePart{typeCloudConfig, "zz-bakery.cfg", []byte("#cloud-config\npower_state: null\n")})
	}
	return document(parts, part.program())
}

// unnamed stands among the keys of a program for the errors of cloud-init that name no module.
const unnamed = "_"

// program says which errors of cloud-init are the user data's own. Those of other modules are the base image's, which has
// them without any user data as well. What cannot be told counts.
func (p mimePart) program() Program {
	const scripts = "scripts_user" // the module that runs a script, and runcmd
	switch p.contentType {
	case typeScript:
		return Program{Keys: []string{unnamed, scripts}}
	case typeCloudConfig:
		if keys, ok := topKeys(p.content); ok {
			return Program{Keys: append(keys, unnamed, scripts)}
		}
	}
	return Program{Opaque: true}
}

// topLine is a line of a cloud-config at its top level: a key in submatch 1, an element of a list, or nothing. All else
// that is at the top level is rarer, and not taken apart here.
var topLine = regexp.MustCompile(`^(?:([A-Za-z][A-Za-z0-9_-]*)\s*:(?:\s.*)?|-\s.*|---\s*|\s.*|#.*|)$`)

// topKeys are the keys of a cloud-config, or false where its form is not the usual one.
func topKeys(content []byte) (keys []string, ok bool) {
	for line := range strings.Lines(string(content)) {
		match := topLine.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if match == nil {
			return nil, false
		}
		if match[1] != "" {
			keys = append(keys, match[1])
		}
	}
	return keys, true
}

// opaquePart finds out what user data is, as cloud-init does: by how it begins.
func opaquePart(content []byte) (mimePart, error) {
	trimmed := bytes.TrimLeft(content, "\r\n\t ")
	for _, s := range starts {
		if bytes.HasPrefix(trimmed, []byte(s.prefix)) {
			return mimePart{s.contentType, "user-data", trimmed}, nil
		}
	}
	m, err := mail.ReadMessage(bytes.NewReader(trimmed))
	if err != nil || !strings.HasPrefix(m.Header.Get("Content-Type"), "multipart/") {
		return mimePart{}, errors.New("user data is nothing cloud-init reads: it begins with none of #!, #cloud-config, " +
			"#cloud-config-archive, #cloud-boothook, #include, #part-handler, ## template: jinja, and is not MIME multipart")
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		return mimePart{}, fmt.Errorf("reading MIME user data: %w", err)
	}
	if !isText(bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))) {
		return mimePart{}, errors.New("MIME user data holds bytes that are not ASCII: encode such parts as base64")
	}
	return mimePart{m.Header.Get("Content-Type"), "", body}, nil
}

// unbase64 decodes user data that is base64 as a whole; nothing else cloud-init reads is valid base64.
func unbase64(userData []byte) []byte {
	text := strings.Join(strings.Fields(string(userData)), "")
	decoded, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(decoded) == 0 {
		return userData
	}
	return decoded
}
