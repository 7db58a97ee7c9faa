// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// The MIME types of user data parts, as cloud-init's INCLUSION_TYPES_MAP (cloudinit/handlers/__init__.py) names them.
const (
	typeScript      = "text/x-shellscript"
	typeCloudConfig = "text/cloud-config"
	typeBoothook    = "text/cloud-boothook"
)

// errOldDocument tells one that was made before provisioners could be recorded: they would be lost without a word.
var errOldDocument = errors.New("the bundle was compiled by a version of this plugin that knew no recorded provisioners: compile the " +
	"Image-Source again")

// directory is where everything of a bake lives on the machine; /run is noexec on real machines and gone after a reboot.
const directory = "/var/lib/bakery"

// errNotDocument tells a user data that Document did not make.
var errNotDocument = errors.New("the user data was not compiled by this plugin: wrap it, or compile the Image-Source again")

// mimePart is one part of a multipart document: its headers from Content-Type on, and its body.
type mimePart struct {
	contentType, name string
	content           []byte
}

// Document renders a program as user data: one MIME multipart document, not compressed, the same bytes for the same
// program.
func Document(p Program) ([]byte, error) {
	var parts []mimePart
	if len(p.CloudConfig) > 0 {
		parts = append(parts, mimePart{typeCloudConfig, "cloud-config.cfg", p.CloudConfig})
	}
	for _, b := range p.Boothooks {
		parts = append(parts, mimePart{typeBoothook, b.Name, b.Content})
	}
	return document(parts, p)
}

// document adds the boothook that installs the guest program and renders the whole.
func document(parts []mimePart, p Program) ([]byte, error) {
	hook, err := boothook(p)
	if err != nil {
		return nil, err
	}
	parts = append(parts, mimePart{typeBoothook, "bakery.sh", hook})
	return joinParts(parts), nil
}

// joinParts joins parts. Its boundary comes from the content, so that it cannot occur in it and is the same every time.
func joinParts(parts []mimePart) []byte {
	sum := sha256.New()
	for _, p := range parts {
		sum.Write(p.content)
	}
	boundary := "bakery-" + hex.EncodeToString(sum.Sum(nil)[:12])
	var b bytes.Buffer
	fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=\"%s\"\nMIME-Version: 1.0\n\n", boundary)
	for _, p := range parts {
		p.render(&b, boundary)
	}
	fmt.Fprintf(&b, "--%s--\n", boundary)
	return b.Bytes()
}

// render writes one part. Anything but ASCII goes as base64: cloud-init reads the document as text and mangles 8bit.
func (p mimePart) render(b *bytes.Buffer, boundary string) {
	fmt.Fprintf(b, "--%s\nContent-Type: %s\nMIME-Version: 1.0\n", boundary, p.contentType)
	if p.name != "" {
		fmt.Fprintf(b, "Content-Disposition: attachment; filename=\"%s\"\n", fileName(p.name))
	}
	if isText(p.content) || strings.HasPrefix(p.contentType, "multipart/") {
		b.WriteString("\n")
		b.Write(p.content)
		b.WriteString("\n")
		return
	}
	b.WriteString("Content-Transfer-Encoding: base64\n\n")
	b.WriteString(encode(p.content))
}

// fileName keeps what a MIME header and a file name both take; cloud-init drops the rest too (util.clean_filename).
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && !strings.ContainsRune(`"\/;`, r) {
			return r
		}
		return '_'
	}, name)
}

// isText reports whether content may stand as it is in a MIME part or a here-document: ASCII, no carriage returns,
// which cloud-init converts.
func isText(content []byte) bool {
	return !slices.ContainsFunc(content, func(c byte) bool { return c >= 0x7f || c < ' ' && c != '\n' && c != '\t' })
}

// encode is base64 in lines of 76, as MIME and base64(1) have it.
func encode(content []byte) string {
	text := base64.StdEncoding.EncodeToString(content)
	var b strings.Builder
	for line := range slices.Chunk([]byte(text), 76) {
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.String()
}

// Deliver adds the delivery to a document, in front of everything else, so that the machine has it before the guest
// program starts.
func Deliver(document []byte, d Delivery) ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	boundary, start, err := firstBoundary(document)
	if err != nil {
		return nil, err
	}
	if d.Recording != nil && !bytes.Contains(document, []byte("\n"+recordedUnit+"\n")) {
		return nil, errOldDocument
	}
	script := d.boothook()
	var b bytes.Buffer
	b.Write(document[:start])
	mimePart{typeBoothook, "bakery-delivery.sh", script}.render(&b, boundary)
	b.Write(document[start:])
	return b.Bytes(), nil
}

// firstBoundary finds the boundary of a document and where its first part begins.
func firstBoundary(document []byte) (boundary string, start int, err error) {
	const prefix = "Content-Type: multipart/mixed; boundary=\""
	rest, ok := bytes.CutPrefix(document, []byte(prefix+"bakery-"))
	if !ok {
		return "", 0, errNotDocument
	}
	id, _, ok := bytes.Cut(rest, []byte(`"`))
	if !ok {
		return "", 0, errNotDocument
	}
	boundary = "bakery-" + string(id)
	start = bytes.Index(document, []byte("\n--"+boundary+"\n"))
	if start < 0 {
		return "", 0, errNotDocument
	}
	return boundary, start + 1, nil
}

func (d Delivery) check() error {
	var problems []error
	if !isBakeID(d.BakeID) {
		problems = append(problems, fmt.Errorf("bake id %q is not made of 1 to 32 digits and small letters", d.BakeID))
	}
	if d.Timeout <= 0 {
		problems = append(problems, fmt.Errorf("timeout %s of the machine is not positive", d.Timeout))
	}
	for _, s := range d.SkipCleanup {
		if !slices.Contains(Sections, s) {
			problems = append(problems, fmt.Errorf("section %q of the clean-up does not exist: it is one of %s", s, strings.Join(Sections, ", ")))
		}
	}
	if d.Live != "" && d.Key == nil || d.Live == ByStore && d.LogURL == "" {
		problems = append(problems, fmt.Errorf("telling lines by %q lacks a key or a URL", d.Live))
	}
	if d.Profile && d.FSURL != "" && d.Region == "" {
		problems = append(problems, errNoRegion)
	}
	if err := d.Recording.check(d.RecordingURL); err != nil {
		problems = append(problems, err)
	}
	if d.Profile && d.RecordingURL != "" && d.Region == "" && d.FSURL == "" {
		problems = append(problems, errNoRegion)
	}
	for _, u := range []string{d.FSURL, d.LogURL, d.RecordingURL} {
		// The machine gives the URL to curl in a configuration file, where quotes and backslashes mean something.
		if _, err := url.Parse(u); err != nil || !isText([]byte(u)) || strings.ContainsAny(u, "\"\\ \n\t") {
			problems = append(problems, errors.New("a URL for the machine is not escaped"))
		}
	}
	for _, h := range d.LogHeaders {
		if !logHeader.MatchString(h) { // it goes the same way
			problems = append(problems, fmt.Errorf("header %q of the log is none", h))
		}
	}
	return errors.Join(problems...)
}

// logHeader is a header that can be given to curl in a configuration file, and to Python.
var logHeader = regexp.MustCompile(`^[a-z0-9-]+: [A-Za-z0-9:/_+=.@-]+$`)

func isBakeID(id string) bool {
	return id != "" && len(id) <= 32 && strings.Trim(id, "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}
