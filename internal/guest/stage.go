// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	_ "embed"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

//go:embed program/fetch.sh
var fetchSource []byte

// runtimeConfig is a configuration file that every cloud-init reads besides /etc/cloud, again at each of its stages
// (cloudinit/stages.py, read_runtime_config). It is in memory: nothing of it can be left in an image. ds-identify
// writes the list of data sources there.
const runtimeConfig = "/run/cloud-init/cloud.cfg"

// Stage returns what a machine fetches and runs as root whose document EC2 would not take as user data: a script,
// compressed, that does what cloud-init would have done with the parts of the document. Its cloud-config is laid into
// runtimeConfig. Parts that only cloud-init can read are an error.
func Stage(document []byte, d Delivery) ([]byte, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	_, _, err := firstBoundary(document)
	if err != nil {
		return nil, err
	}
	// The size of what is staged is not limited.
	if document, err = tailor(document); err != nil {
		return nil, err
	}
	parts, err := splitParts(document)
	if err != nil {
		return nil, err
	}
	var script bytes.Buffer
	script.WriteString("#!/bin/sh\n")
	script.Write(d.script(map[string][]byte{}))
	var problems []error
	for _, p := range parts[1:] {
		if p.contentType != typeCloudConfig {
			problems = append(problems, errCannotStage(p))
			continue
		}
		script.WriteString("cd " + directory + "\n")
		writeFile(&script, "cloud-config.cfg", p.content)
		script.WriteString("mkdir -p /run/cloud-init && cat cloud-config.cfg >>" + runtimeConfig + "\n")
	}
	script.Write(parts[0].content) // its last line replaces the shell
	return Compress(script.Bytes()), errors.Join(problems...)
}

func errCannotStage(p mimePart) error {
	return fmt.Errorf("the user data is larger than EC2 takes, and its part %s (%s) can only be read by cloud-init "+
		"itself, which cannot be given more: make it a cloud-config, a script or a boothook, or smaller", p.name,
		p.contentType)
}

// splitParts returns the parts of a document that joinParts has made.
func splitParts(document []byte) ([]mimePart, error) {
	head, body, _ := bytes.Cut(document, []byte("\n\n"))
	_, parameters, err := mime.ParseMediaType(strings.TrimPrefix(string(bytes.Split(head, []byte("\n"))[0]),
		"Content-Type: "))
	if err != nil {
		return nil, fmt.Errorf("read the document: %w", err)
	}
	var parts []mimePart
	for reader := multipart.NewReader(bytes.NewReader(body), parameters["boundary"]); ; {
		p, err := reader.NextPart()
		if errors.Is(err, io.EOF) {
			return parts, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the document: %w", err)
		}
		var content io.Reader = p
		if p.Header.Get("Content-Transfer-Encoding") == "base64" {
			content = base64.NewDecoder(base64.StdEncoding, p)
		}
		text, err := io.ReadAll(content)
		if err != nil {
			return nil, fmt.Errorf("read the document: %w", err)
		}
		parts = append(parts, mimePart{p.Header.Get("Content-Type"), p.FileName(), text})
	}
}

// Fetched is user data that the machine is to fetch.
type Fetched struct {
	URL    string // presigned
	SHA256 string // of what is fetched, hex
	// StayOn keeps a machine that refuses what it has fetched powered on. It is for bakes where a stopped machine
	// counts as a success.
	StayOn bool
	// Limit is how long the machine stays on at most after a boot, whatever it does. The guest program has its own
	// limit, so this one counts until that is there, and without the guest program, which is with StayOn, for ever.
	Limit time.Duration
}

// Fetch returns user data that makes the machine fetch a script and run exactly that one, or report why it cannot.
// cloud-init's own #include would run whatever is at the URL, and would go on without it where it cannot be fetched.
func Fetch(l Launch, f Fetched) ([]byte, error) {
	if err := errors.Join(l.check(), f.check()); err != nil {
		return nil, err
	}
	stay := ""
	if f.StayOn {
		stay = "1"
	}
	var b bytes.Buffer
	b.WriteString(boothookHead)
	b.Write(withoutHead(strip(reportSource)))
	if f.StayOn { // there is no clean-up
		b.WriteString("bakery_dir=" + verbatimDirectory + "\nbakery_reports=$bakery_dir/reports\n")
	}
	b.WriteString("umask 077\nmkdir -p $bakery_dir\ncd $bakery_dir\n")
	writeFile(&b, "launch", []byte(l.assignments()))
	for _, line := range []string{
		shell.Assign("want", f.SHA256), shell.Assign("url", f.URL), shell.Assign("stay", stay),
		shell.Assign("limit", strconv.Itoa(int(f.Limit.Seconds()))),
	} {
		b.WriteString(line + "\n")
	}
	b.Write(withoutHead(strip(fetchSource)))
	return Compress(joinParts([]mimePart{{typeBoothook, "bakery-fetch.sh", b.Bytes()}})), nil
}

func withoutHead(script []byte) []byte { return bytes.TrimPrefix(script, []byte("#!/bin/sh\n")) }

var sha256Hex = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (f *Fetched) check() error {
	var problems []error
	if f.URL == "" || !isEscapedURL(f.URL) {
		problems = append(problems, errors.New("the URL of the user data is not escaped"))
	}
	if !sha256Hex.MatchString(f.SHA256) {
		problems = append(problems, fmt.Errorf("the checksum %q of the user data is not a sha256", f.SHA256))
	}
	if f.Limit < time.Second {
		problems = append(problems, fmt.Errorf("the limit of the machine is %s", f.Limit))
	}
	return errors.Join(problems...)
}

// verbatimDirectory is where a machine without the guest program keeps what it has fetched: it belongs to cloud-init's
// data of this one instance, as user data does.
const verbatimDirectory = "/var/lib/cloud/instance/bakery"

// StageVerbatim returns what a machine fetches and runs whose user data is launched without the guest program. It does
// what cloud-init would have done: a script is run in cloud-init's last stage, a cloud-config by its modules, a
// boothook at once. Other forms are an error.
func StageVerbatim(userData []byte) ([]byte, error) {
	content, err := Decompress(decodeBase64(userData))
	if err != nil {
		return nil, err
	}
	content = bytes.TrimLeft(content, "\r\n\t ")
	first, _, _ := strings.Cut(strings.ToLower(string(content[:min(len(content), 100)])), "\n")
	var b bytes.Buffer
	b.WriteString("#!/bin/sh\ncd " + verbatimDirectory + "\n")
	switch first = strings.TrimSpace(first); {
	case strings.HasPrefix(first, "#!"):
		b.WriteString("[ ! -e part ] || exit 0\n") // once an instance
		writeFile(&b, "part", content)
		b.WriteString("mkdir -p ../scripts\ncp part ../scripts/part-001\nchmod 0700 ../scripts/part-001\n")
	case first == "#cloud-config":
		writeFile(&b, "part", content)
		b.WriteString("mkdir -p /run/cloud-init\n" + mergeConfig)
	case strings.HasPrefix(first, "#cloud-boothook"):
		writeFile(&b, "part", boothookScript(content))
		b.WriteString("chmod 0700 part\nexec ./part\n")
	default:
		return nil, errCannotStage(mimePart{contentType: "it begins with " + strconv.Quote(first), name: "user data"})
	}
	return Compress(b.Bytes()), nil
}

// mergeConfig adds a cloud-config of any form to the runtimeConfig.
const mergeConfig = `"$(head -n 1 "$(command -v cloud-init)" | sed -n 's/^#! *\([^ ]*python[^ ]*\).*/\1/p' | grep . ` +
	`|| echo python3)" -c 'import yaml
try: all = yaml.safe_load(open("` + runtimeConfig + `")) or {}
except IOError: all = {}
all.update(yaml.safe_load(open("part")))
open("` + runtimeConfig + `", "w").write(yaml.safe_dump(all))'
`

// decodeBase64 decodes user data that is base64 as a whole. No other form that cloud-init reads is valid base64.
func decodeBase64(userData []byte) []byte {
	text := strings.Join(strings.Fields(string(userData)), "")
	decoded, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(decoded) == 0 {
		return userData
	}
	return decoded
}
