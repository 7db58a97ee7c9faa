// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package labtest

import (
	"bytes"
	"crypto/sha256"
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
	hasProgram   bool
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

// readUserData reads the user data and what it fetches, as cloud-init and the guest program do. The machine has made
// its commitment then.
func (b *bake) readUserData() (instructions, error) {
	status, text := b.m.Metadata("/latest/user-data")
	if status != http.StatusOK {
		return instructions{}, nil
	}
	document, err := guest.Decompress([]byte(text))
	if err != nil {
		return instructions{}, err
	}
	hooks, err := boothooks(document)
	if err != nil {
		return instructions{}, err
	}
	files, values := map[string]string{}, map[string]string{}
	for _, hook := range hooks {
		if err := addWrittenFiles(hook, files); err != nil {
			return instructions{}, err
		}
		parseAssignments(hook, values)
	}
	if files["launch"] == "" {
		return instructions{}, nil
	}
	launch := map[string]string{}
	parseAssignments(files["launch"], launch)
	if err := b.commit(launch); err != nil {
		return instructions{}, b.giveUp("S3 gave this machine no good answer: " + err.Error())
	}
	if values["url"] != "" {
		if err := b.fetchUserData(values, files); err != nil {
			return instructions{}, b.giveUp(err.Error())
		}
	}
	return b.parseInstructions(files)
}

// errGaveUp is returned when a machine has reported why it cannot begin.
var errGaveUp = errors.New("the machine has given up")

// giveUp does what give_up of fetch.sh does.
func (b *bake) giveUp(reason string) error {
	b.report("reason %s", reason)
	final := b.compose("verdict fail 1 cloud-init")
	for range 3 {
		b.print(final)
	}
	return errGaveUp
}

// fetchUserData adds the files of the script that the machine is to run, as fetch.sh does.
func (b *bake) fetchUserData(values, files map[string]string) (err error) {
	for _, pause := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 0} {
		var body, script []byte
		if body, err = b.get(b.life, values["url"]); err == nil {
			if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != values["want"] {
				err = errors.New("the user data that was fetched is not what Packer has staged")
			} else if script, err = guest.Decompress(body); err == nil {
				if !bytes.Contains(script, []byte(" >units <<")) { // without the guest program, it may be very large
					return nil
				}
				return addWrittenFiles(string(script), files)
			}
		}
		if !b.pause(pause) {
			break
		}
	}
	return err
}

// pause waits for a duration of the machine, and reports whether the machine is still alive.
func (b *bake) pause(d time.Duration) bool {
	select {
	case <-time.After(b.scaled(d)):
		return true
	case <-b.life.Done():
		return false
	}
}

// splitLines returns the lines of a text that are not empty.
func splitLines(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}

func (b *bake) parseInstructions(files map[string]string) (instructions, error) {
	if files["units"] == "" {
		return instructions{}, nil
	}
	values := map[string]string{"BAKERY_TIMEOUT": "3600"} // the default of bakery_load_env
	parseAssignments(files["env"], values)
	parseAssignments(files["delivery"], values)
	seconds, err := strconv.Atoi(values["BAKERY_TIMEOUT"])
	if err != nil {
		return instructions{}, fmt.Errorf("read the time-out of the delivery: %w", err)
	}
	in := instructions{
		hasProgram: true,

		timeout: time.Duration(seconds) * time.Second, log: values["BAKERY_LOG_URL"],
		files: map[string]fetch{
			"fs":           {values["BAKERY_FS_URL"], values["BAKERY_FS_SHA256"]},
			"provisioners": {values["BAKERY_RECORDED_URL"], values["BAKERY_RECORDED_SHA256"]},
		},
	}
	in.headers = splitLines(values["BAKERY_LOG_HEADERS"])
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
var assignment = regexp.MustCompile(`(?ms)^([A-Za-z0-9_]+)='((?:[^']|'\\'')*)'$`)

// parseAssignments adds the variables that are assigned.
func parseAssignments(text string, values map[string]string) {
	for _, m := range assignment.FindAllStringSubmatch(text, -1) {
		values[m[1]] = strings.ReplaceAll(m[2], `'\''`, "'")
	}
}
