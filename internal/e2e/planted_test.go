// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// encodings returns the forms of a secret in a file or a text: as it is, escaped for a URL, and in base64 at any
// offset. Compression hides secrets, so the compressed user data is looked for by its own bytes.
func encodings(secret string) []string {
	all := []string{secret}
	if escaped := url.QueryEscape(secret); escaped != secret {
		all = append(all, escaped)
	}
	for before := range 3 {
		text := base64.RawStdEncoding.EncodeToString(append(make([]byte, before), secret...))
		// The first and the last characters depend on what stands beside.
		all = append(all, text[(before*8+5)/6:len(text)-2])
	}
	return all
}

// secretSearch finds secrets in texts and files.
type secretSearch struct {
	names     map[string]string // of each form
	encodings [][]byte
}

// add adds a secret under a name. A short one would be found everywhere.
func (h *secretSearch) add(t *testing.T, name string, all ...string) {
	t.Helper()
	for _, form := range all {
		if len(form) < 12 {
			t.Fatalf("the secret %s is too short to be looked for", name)
		}
		if h.names == nil {
			h.names = map[string]string{}
		}
		h.names[form] = name
		h.encodings = append(h.encodings, []byte(form))
	}
}

// in returns the names of the secrets in a text, each with the text around it.
func (h *secretSearch) in(text []byte) []string {
	var found []string
	for _, form := range h.encodings {
		if at := bytes.Index(text, form); at >= 0 {
			found = append(found, fmt.Sprintf("%s in %q", h.names[string(form)],
				text[max(0, at-60):min(len(text), at+len(form)+20)]))
		}
	}
	return found
}

// inFile is in for a file of any size. It skips holes.
func (h *secretSearch) inFile(t *testing.T, path string) []string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	const part, overlap = 4 << 20, 4 << 10 // no form is longer
	buffer := make([]byte, part+overlap)
	var found []string
	for at := int64(0); ; at += part {
		if at, err = unix.Seek(int(f.Fd()), at, unix.SEEK_DATA); errors.Is(err, unix.ENXIO) {
			slices.Sort(found)
			return slices.Compact(found)
		}
		if err != nil {
			t.Fatal(err)
		}
		n, err := f.ReadAt(buffer, max(0, at-overlap))
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		found = append(found, h.in(buffer[:n])...)
	}
}

// signatures matches the signatures of presigned URLs.
var signatures = regexp.MustCompile(`X-Amz-Signature=([0-9a-f]{64})`)

// baked matches the instance and the bake's id in packer's output.
var baked = regexp.MustCompile(`(?m)Instance (i-[0-9a-f]+) bakes as ([0-9a-f]+)$`)

// ownPrograms are the programs whose arguments and environment must not hold a secret.
var ownPrograms = []string{"packer", "packer-plugin-bakery", "bakery-lab"}

// watchProcesses looks at the processes of this computer until stop is called, which returns what was found: a secret
// in the arguments or the environment of a program of ours, or a signed URL in any program's arguments.
func (h *secretSearch) watchProcesses() (stop func() []string) {
	done, found := make(chan struct{}), make(chan []string)
	go func() {
		var all []string
		for {
			select {
			case <-done:
				slices.Sort(all)
				found <- slices.Compact(all)
				return
			case <-time.After(50 * time.Millisecond):
				all = append(all, h.inProcesses()...)
			}
		}
	}()
	return func() []string { close(done); return <-found }
}

func (h *secretSearch) inProcesses() (found []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is good
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		if signatures.Match(line) {
			found = append(found, fmt.Sprintf("a signed URL in the arguments %q", line))
		}
		program, _, _ := bytes.Cut(line, []byte{0})
		if !slices.Contains(ownPrograms, filepath.Base(string(program))) {
			continue
		}
		environ, _ := os.ReadFile(strings.Replace(file, "cmdline", "environ", 1))
		for _, what := range append(h.in(line), h.in(environ)...) {
			found = append(found, filepath.Base(string(program))+": "+what)
		}
	}
	return found
}
