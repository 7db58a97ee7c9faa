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

// maxDocument bounds what Decompress returns. cloud-init reads the document into memory, on a machine that may have
// only 512 MiB.
const maxDocument = 64 << 20

// Compress makes user data of a document: gzip at the highest level, the same bytes every time.
func Compress(document []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is a constant
	}
	_, _ = w.Write(document) // a bytes.Buffer returns no error
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
		return nil, fmt.Errorf("decompressing user data: the result is larger than %d bytes", maxDocument)
	}
	return document, nil
}

// contentTypes maps the first line of user data to its MIME type. Of two prefixes that begin alike, the longer is
// first. Source: INCLUSION_TYPES_MAP of cloudinit/handlers/__init__.py.
var contentTypes = []struct{ prefix, contentType string }{
	{"#!", typeScript},
	{"#include-once", "text/x-include-once-url"},
	{"#include", "text/x-include-url"},
	{"#cloud-config-archive", "text/cloud-config-archive"},
	{"#cloud-config", typeCloudConfig},
	{"#cloud-boothook", typeBoothook},
	{"#part-handler", "text/part-handler"},
	{"## template: jinja", "text/jinja2"},
}

// mayPowerOff reports whether a part may configure a power_state. A script cannot. A plain cloud-config does when it
// contains the word; any other part may have one that is encoded, or rendered or fetched on the machine.
func (p mimePart) mayPowerOff() bool {
	switch p.contentType {
	case typeScript, typeBoothook:
		return false
	case typeCloudConfig:
		return bytes.Contains(p.content, []byte("power_state"))
	}
	return true
}

// Wrap makes a document of user data in any form that cloud-init reads (script, cloud-config, MIME, gzip or base64 of
// these), with the guest program in it, so that the machine reports and powers off. A power_state in the user data is
// overridden: the guest program does the power-off.
func Wrap(userData []byte) ([]byte, error) {
	content, err := Decompress(decodeBase64(userData))
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

// unnamed is the key of a program that stands for errors of cloud-init that name no module.
const unnamed = "_"

// program returns a program that lists which errors of cloud-init come from the user data. Errors of other modules come
// from the base image, which has them without user data too. When the user data cannot be parsed, every error counts.
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

// topLevelLine matches the usual lines of a cloud-config: a top-level key (submatch 1), an element of a list, an
// indented line, a comment or an empty line. Rarer forms are not parsed.
var topLevelLine = regexp.MustCompile(`^(?:([A-Za-z][A-Za-z0-9_-]*)\s*:(?:\s.*)?|-\s.*|---\s*|\s.*|#.*|)$`)

// topKeys returns the top-level keys of a cloud-config, or false when it has an unusual form.
func topKeys(content []byte) (keys []string, ok bool) {
	for line := range strings.Lines(string(content)) {
		match := topLevelLine.FindStringSubmatch(strings.TrimRight(line, "\r\n"))
		if match == nil {
			return nil, false
		}
		if match[1] != "" {
			keys = append(keys, match[1])
		}
	}
	return keys, true
}

// opaquePart finds the type of user data as cloud-init does, by its first characters.
func opaquePart(content []byte) (mimePart, error) {
	trimmed := bytes.TrimLeft(content, "\r\n\t ")
	for _, s := range contentTypes {
		if bytes.HasPrefix(trimmed, []byte(s.prefix)) {
			return mimePart{s.contentType, "user-data", trimmed}, nil
		}
	}
	m, err := mail.ReadMessage(bytes.NewReader(trimmed))
	if err != nil || !strings.HasPrefix(m.Header.Get("Content-Type"), "multipart/") {
		return mimePart{}, errors.New(
			"user data is nothing cloud-init reads: it begins with none of #!, #cloud-config, " +
				"#cloud-config-archive, #cloud-boothook, #include, #part-handler, ## template: jinja, and is not " +
				"MIME multipart",
		)
	}
	body, err := io.ReadAll(m.Body)
	if err != nil {
		return mimePart{}, fmt.Errorf("reading MIME user data: %w", err)
	}
	if !isText(bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))) {
		return mimePart{}, errors.New("MIME user data contains bytes that are not ASCII: encode such parts as base64")
	}
	return mimePart{m.Header.Get("Content-Type"), "", body}, nil
}

// decodeBase64 decodes user data that is base64 as a whole. No other form that cloud-init reads is valid base64.
func decodeBase64(userData []byte) []byte {
	text := strings.Join(strings.Fields(string(userData)), "")
	decoded, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(decoded) == 0 {
		return userData
	}
	return decoded
}
