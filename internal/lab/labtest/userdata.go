// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package labtest

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/mail"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// instructions are what the guest program reads from the user data. The zero value is for user data without a guest
// program.
type instructions struct {
	bakeID       string
	timeout      time.Duration
	log          string           // URL to upload the log to
	headers      []string         // headers of that upload: "Name: value"
	live         guest.Way        // how lines are streamed while the steps run
	key          *guest.Key       // encrypts lines on the console
	files        map[string]fetch // files to download, by the name in their step
	role, region string           // with which the machine signs downloads; "" with presigned URLs
	units        []unit
}

type fetch struct{ url, sha256 string }

// includeOnce is the part of user data with the URL of the rest.
var includeOnce = regexp.MustCompile(`(?m)^#include-once\n(\S+)$`)

// readUserData reads the user data and the user data that it includes, as cloud-init does. An include that cannot be
// fetched is an error, because cloud-init ignores the whole user data then.
func (b *bake) readUserData() (instructions, error) {
	status, text := b.m.Metadata("/latest/user-data")
	if status != http.StatusOK {
		return instructions{}, nil
	}
	document, err := guest.Decompress([]byte(text))
	if url := includeOnce.FindSubmatch(document); err == nil && url != nil {
		var fetched []byte
		if fetched, err = b.include(string(url[1])); err == nil {
			document, err = guest.Decompress(fetched)
		}
	}
	if err != nil {
		return instructions{}, err
	}
	return b.parseInstructions(document)
}

// include tries as often as cloud-init 22 to 25: it retries ten times, a second apart (cloudinit/user_data.py,
// _do_include).
func (b *bake) include(url string) ([]byte, error) {
	for n := 0; ; n++ {
		body, err := b.get(b.life, url)
		if err == nil || n == 10 || b.life.Err() != nil {
			return body, err
		}
		select {
		case <-time.After(b.scaled(time.Second)):
		case <-b.life.Done():
		}
	}
}

func (b *bake) parseInstructions(document []byte) (instructions, error) {
	hooks, err := boothooks(document)
	if err != nil {
		return instructions{}, err
	}
	files := map[string]string{}
	for _, hook := range hooks {
		if err := addWrittenFiles(hook, files); err != nil {
			return instructions{}, err
		}
	}
	if files["units"] == "" {
		return instructions{}, nil
	}
	values := map[string]string{"BAKERY_ID": "none", "BAKERY_TIMEOUT": "3600"} // the defaults of bakery_load_env
	parseAssignments(files["env"], values)
	parseAssignments(files["delivery"], values)
	seconds, err := strconv.Atoi(values["BAKERY_TIMEOUT"])
	if err != nil {
		return instructions{}, fmt.Errorf("read the time-out of the delivery: %w", err)
	}
	in := instructions{
		bakeID: values["BAKERY_ID"], timeout: time.Duration(seconds) * time.Second, log: values["BAKERY_LOG_URL"],
		files: map[string]fetch{
			"fs":           {values["BAKERY_FS_URL"], values["BAKERY_FS_SHA256"]},
			"provisioners": {values["BAKERY_RECORDED_URL"], values["BAKERY_RECORDED_SHA256"]},
		},
	}
	in.headers = strings.FieldsFunc(values["BAKERY_LOG_HEADERS"], func(r rune) bool { return r == '\n' })
	if text := values["BAKERY_KEY"]; text != "" {
		in.live, in.key = guest.Way(values["BAKERY_LIVE"]), &guest.Key{}
		if n, err := hex.Decode(in.key[:], []byte(text)); err != nil || n != len(in.key) {
			return in, fmt.Errorf("read the key of the delivery: %d bytes: %w", n, err)
		}
	}
	if values["BAKERY_PROFILE"] != "" {
		in.region = values["BAKERY_REGION"]
		_, in.role = b.m.Metadata("/latest/meta-data/iam/security-credentials/")
	}
	units := strings.Replace(files["units"], "recorded - provisioners\n", files["units.recorded"], 1)
	for line := range strings.Lines(files["units.first"] + units + files["units.last"]) {
		words := strings.SplitN(strings.TrimSpace(line), " ", 3)
		if len(words) != 3 {
			return in, fmt.Errorf("read the list of steps: %q is none", line)
		}
		in.units = append(in.units, unit{words[0], words[1], words[2]})
	}
	return in, nil
}

// boothooks returns the boothooks of a MIME document; none for other user data.
func boothooks(document []byte) ([]string, error) {
	message, err := mail.ReadMessage(bytes.NewReader(document))
	if err != nil {
		return nil, nil //nolint:nilerr // it is a script or a cloud-config then
	}
	kind, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || !strings.HasPrefix(kind, "multipart/") {
		return nil, nil //nolint:nilerr // as above
	}
	var hooks []string
	for parts := multipart.NewReader(message.Body, parameters["boundary"]); ; {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return hooks, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read the user data: %w", err)
		}
		var body io.Reader = p
		if p.Header.Get("Content-Transfer-Encoding") == "base64" {
			body = base64.NewDecoder(base64.StdEncoding, p)
		}
		text, err := io.ReadAll(body)
		if err != nil {
			return nil, fmt.Errorf("read a part of the user data: %w", err)
		}
		if strings.HasPrefix(p.Header.Get("Content-Type"), "text/cloud-boothook") {
			hooks = append(hooks, string(text))
		}
	}
}

// hereDocument is a file that a boothook writes, as internal/guest renders it.
var hereDocument = regexp.MustCompile(`(?ms)^(cat|base64 -d) >(\S+) <<'BAKERY_END'\n(.*?)^BAKERY_END$`)

// addWrittenFiles adds the files that a boothook writes.
func addWrittenFiles(hook string, files map[string]string) error {
	for _, m := range hereDocument.FindAllStringSubmatch(hook, -1) {
		content := m[3]
		if m[1] != "cat" {
			b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(content), ""))
			if err != nil {
				return fmt.Errorf("read %s of the user data: %w", m[2], err)
			}
			content = string(b)
		}
		files[m[2]] = content
	}
	return nil
}

// assignment is the form of shell.Assign; a value may have several lines.
var assignment = regexp.MustCompile(`(?ms)^([A-Z0-9_]+)='((?:[^']|'\\'')*)'$`)

// parseAssignments adds the variables that are assigned.
func parseAssignments(text string, values map[string]string) {
	for _, m := range assignment.FindAllStringSubmatch(text, -1) {
		values[m[1]] = strings.ReplaceAll(m[2], `'\''`, "'")
	}
}
