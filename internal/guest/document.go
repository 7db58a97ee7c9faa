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

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// The MIME types of user data parts, as cloud-init's INCLUSION_TYPES_MAP (cloudinit/handlers/__init__.py) names them.
const (
	typeCloudConfig = "text/cloud-config"
	typeBoothook    = "text/cloud-boothook"
)

// errOldDocument is returned for a document whose guest program is from an earlier version. The delivery would not fit
// it: the machine would leave out recorded provisioners, and print the last lines of a failed step without encryption.
var errOldDocument = errors.New("the bundle was compiled by an earlier version of this plugin: " +
	"compile the Image-Source again")

// directory contains all files of a bake on the machine. /run would not do: it is noexec, and empty after a reboot.
const directory = "/var/lib/bakery"

// errNotDocument is returned for user data that Document did not make.
var errNotDocument = errors.New(
	"the user data was not compiled by this plugin: wrap it, or compile the Image-Source again",
)

// mimePart is one part of a multipart document: its headers from Content-Type on, and its body.
type mimePart struct {
	contentType, name string
	content           []byte
}

// Document renders a program as user data: one MIME multipart document, not compressed. The same program always gives
// the same bytes. The guest program is its first part, a boothook: nothing of the user's runs before it.
func Document(p Program) ([]byte, error) {
	var parts []mimePart
	if len(p.CloudConfig) > 0 {
		parts = append(parts, mimePart{typeCloudConfig, "cloud-config.cfg", p.CloudConfig})
	}
	for _, u := range p.Unchecked {
		parts = append(parts, mimePart{u.Type, u.Name, u.Content})
	}
	if len(p.Unchecked) > 0 { // any of them may set a power_state, and the guest program does the power-off
		parts = append(parts, mimePart{typeCloudConfig, "zz-bakery.cfg", []byte("#cloud-config\npower_state: null\n")})
	}
	hook, err := boothook(p)
	if err != nil {
		return nil, err
	}
	return joinParts(slices.Concat([]mimePart{{typeBoothook, "bakery.sh", hook}}, parts)), nil
}

// joinParts renders parts as one document. The boundary is a hash of the content: it does not occur in the content, and
// is the same every time.
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

// render writes one part. Content that is not ASCII is encoded as base64, because cloud-init reads the document as text
// and damages 8-bit characters.
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

// fileName replaces the characters that are not valid in both a MIME header and a file name. cloud-init drops them too
// (util.clean_filename).
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r > ' ' && r < 0x7f && !strings.ContainsRune(`"\/;`, r) {
			return r
		}
		return '_'
	}, name)
}

// isText reports whether content needs no encoding in a MIME part or a here-document: it is ASCII, without carriage
// returns, which cloud-init converts.
func isText(content []byte) bool {
	return !slices.ContainsFunc(content, func(c byte) bool { return c >= 0x7f || c < ' ' && c != '\n' && c != '\t' })
}

// encode returns base64 in lines of 76 characters, as MIME and base64(1) do.
func encode(content []byte) string {
	text := base64.StdEncoding.EncodeToString(content)
	var b strings.Builder
	for line := range slices.Chunk([]byte(text), 76) {
		b.Write(line)
		b.WriteByte('\n')
	}
	return b.String()
}

// Deliver adds the launch and the delivery to a document as its first part, so that the machine has them before the
// guest program starts.
func Deliver(document []byte, l Launch, d Delivery) ([]byte, error) {
	if err := errors.Join(l.check(), d.check()); err != nil {
		return nil, err
	}
	boundary, start, err := firstBoundary(document)
	if err != nil {
		return nil, err
	}
	left := append(d.unneeded(unitsOf(document), l), absent(document)...)
	if document, err = tailor(document, left...); err != nil {
		return nil, err
	}
	script := d.script(map[string][]byte{"launch": []byte(l.assignments())})
	var b bytes.Buffer
	b.Write(document[:start])
	mimePart{typeBoothook, "bakery-delivery.sh", append([]byte(boothookHead), script...)}.render(&b, boundary)
	b.Write(document[start:])
	return b.Bytes(), nil
}

// firstBoundary returns the boundary of a document and the offset of its first part.
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
	// Before this version, the guest program was the last part.
	_, first, _ := bytes.Cut(document[start+1:], []byte("\n\n"))
	if !bytes.HasPrefix(first, []byte(boothookHead)) || !bytes.Contains(first, []byte("\n"+recordedUnit+"\n")) {
		return "", 0, errOldDocument
	}
	return boundary, start + 1, nil
}

func (d Delivery) check() error {
	var problems []error
	if d.Timeout <= 0 {
		problems = append(problems, fmt.Errorf("timeout %s of the machine is not positive", d.Timeout))
	}
	for _, s := range d.SkipCleanup {
		if !slices.Contains(Sections, s) {
			problems = append(
				problems,
				fmt.Errorf(
					"section %q of the clean-up does not exist: it is one of %s",
					s,
					strings.Join(Sections, ", "),
				),
			)
		}
	}
	problems = append(problems, CheckIgnored(d.IgnoreFailures)...)
	if d.Live != "" && d.Key == nil || d.Live == ByStore && d.LogURL == "" {
		problems = append(problems, fmt.Errorf("the live log by %q has no key or no URL", d.Live))
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
		if !isEscapedURL(u) {
			problems = append(problems, errors.New("a URL for the machine is not escaped"))
		}
	}
	return errors.Join(append(problems, checkHeaders(d.LogHeaders))...)
}

func (l Launch) check() error {
	var problems []error
	if !IsBakeID(l.BakeID) {
		problems = append(problems, errBakeID("bake id", l.BakeID))
	}
	if !isEscapedURL(l.CommitURL) {
		problems = append(problems, errors.New("a URL for the machine is not escaped"))
	}
	return errors.Join(append(problems, checkHeaders(l.CommitHeaders))...)
}

// assignments returns the variables of the guest program that the launch sets.
func (l Launch) assignments() string {
	lines := []string{shell.Assign("BAKERY_ID", l.BakeID), shell.Assign("BAKERY_REPORT_KEY", l.Key.String())}
	if l.CommitURL != "" {
		lines = append(lines, shell.Assign("BAKERY_COMMIT_URL", l.CommitURL),
			shell.Assign("BAKERY_COMMIT_HEADERS", strings.Join(l.CommitHeaders, "\n")))
	}
	return strings.Join(lines, "\n") + "\n"
}

func checkHeaders(headers []string) error {
	var problems []error
	for _, h := range headers {
		if !uploadHeader.MatchString(h) {
			problems = append(problems, fmt.Errorf("header %q of an upload is not valid", h))
		}
	}
	return errors.Join(problems...)
}

// isEscapedURL reports whether a URL can be written to a configuration file of curl, where quotes and backslashes have
// a meaning.
func isEscapedURL(u string) bool {
	_, err := url.Parse(u)
	return err == nil && isText([]byte(u)) && !strings.ContainsAny(u, "\"\\ \n\t")
}

// uploadHeader matches a header that can be written to a configuration file of curl, and that Python accepts.
var uploadHeader = regexp.MustCompile(`^[a-z0-9-]+: [A-Za-z0-9:/_+=.@*-]+$`)

// IsBakeID reports whether a text has the form of NewBakeID: 16 hex digits, in lower case.
func IsBakeID(text string) bool {
	const digits = 16
	return len(text) == digits && strings.Trim(text, "0123456789abcdef") == ""
}

func errBakeID(what, id string) error {
	return fmt.Errorf("%s %q is not 16 hex digits in lower case", what, id)
}
