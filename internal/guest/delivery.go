// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// errNoRegion is returned when the machine has to sign a request and no region is given.
var errNoRegion = errors.New("the region of the bucket is missing, which the machine signs with")

// ofStaging matches the lines of log_stream.py that are needed only with staging.
var ofStaging = regexp.MustCompile(`(?m)^.* # with staging\n`)

// script renders a script that writes the delivery to the machine. It runs before the boothook of the document.
func (d Delivery) script(files map[string][]byte) []byte {
	files["delivery"] = []byte(d.assignments())
	if d.Recording != nil {
		d.Recording.layout(files)
		if d.Recording.Facts {
			files["facts.py"] = pythonProgram(factsSource)
		}
	}
	if d.Key != nil {
		stream := strip(logStreamSource)
		if d.LogURL == "" {
			stream = ofStaging.ReplaceAll(stream, nil)
			stream = withoutBlocks(stream, "def reports(", "class S3:", "import gzip\n", "import io\n", "try:\n",
				"except ImportError:\n") // that is urllib
		}
		files["log_stream.py"] = shortenPython(stream)
	}
	if d.KeyPair {
		files["keys.py"] = pythonProgram(keysSource)
	}
	if d.Profile && d.RecordingURL != "" && d.FSURL == "" { // with a staged fs/, the document contains it
		files["s3get.py"] = pythonProgram(s3getSource)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "umask 077\nif [ ! -e %[1]s/installed ]; then\nmkdir -p %[1]s\ncd %[1]s\n", directory)
	writeFiles(&b, files)
	b.WriteString("fi\n")
	return b.Bytes()
}

// assignments returns the variables of the guest program that the delivery sets.
func (d Delivery) assignments() string {
	lines := []string{
		shell.Assign("BAKERY_TIMEOUT", fmt.Sprint(int(d.Timeout.Seconds()))),
		shell.Assign("BAKERY_LOG_URL", d.LogURL),
		shell.Assign("BAKERY_SKIP", strings.Join(d.SkipCleanup, " ")),
	}
	if len(d.IgnoreFailures) > 0 {
		lines = append(lines, shell.Assign("BAKERY_IGNORE", strings.Join(d.IgnoreFailures, " ")))
	}
	if d.WipeFreeSpace {
		lines = append(lines, shell.Assign("BAKERY_ZERO", "1"))
	}
	if len(d.LogHeaders) > 0 {
		lines = append(lines, shell.Assign("BAKERY_LOG_HEADERS", strings.Join(d.LogHeaders, "\n")))
	}
	if d.Key != nil {
		lines = append(
			lines,
			shell.Assign("BAKERY_KEY", d.Key.String()),
			shell.Assign("BAKERY_LIVE", string(d.Live)),
		)
	}
	if d.FSURL != "" {
		lines = append(lines, shell.Assign("BAKERY_FS_URL", d.FSURL))
	}
	if d.FSURL != "" || d.RecordingURL != "" {
		profile := ""
		if d.Profile {
			profile = "1"
			lines = append(lines, shell.Assign("BAKERY_REGION", d.Region))
		}
		lines = append(lines, shell.Assign("BAKERY_PROFILE", profile))
	}
	if r := d.Recording; r != nil {
		lines = append(lines, shell.Assign("BAKERY_USER", r.user()))
		if r.Facts {
			lines = append(lines, shell.Assign("BAKERY_INTERFACE", r.Interface))
		}
		if r.Files.Staged() {
			lines = append(lines, shell.Assign("BAKERY_RECORDED_URL", d.RecordingURL),
				shell.Assign("BAKERY_RECORDED_SHA256", r.Files.SHA256))
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// recordedName is the name of a recording's archive on the machine, without its ending.
const recordedName = "provisioners"

// layout adds the files a recording needs on the machine: its steps, in up to three lists, and its archive when that is
// inline. The first steps download and unpack the archive.
func (r *Recording) layout(files map[string][]byte) {
	fetched := false
	for _, list := range []struct {
		file         string
		provisioners []Provisioner
	}{{"units.first", r.First}, {"units.recorded", r.Provisioners}, {"units.last", r.Last}} {
		if len(list.provisioners) == 0 {
			continue
		}
		l := &layout{}
		if !fetched {
			fetched = true
			if r.Files.Staged() {
				l.unit("download", recordedName, "provisioners download")
			}
			l.unit("extract", recordedName, "provisioners extract")
		}
		for _, p := range list.provisioners {
			l.unit("replay", p.Dir, p.Name)
		}
		files[list.file] = []byte(l.units.String())
	}
	if len(r.Files.Inline) > 0 {
		files[recordedName+".tgz"] = r.Files.Inline
	}
}

// userName matches the names that useradd accepts on any of the distributions, and names with capitals and dots as in
// Active Directory: https://systemd.io/USER_NAMES/.
var userName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?$`)

// IsUserName reports whether a machine can have a user of that name.
func IsUserName(name string) bool { return userName.MatchString(name) }

// recordedDir matches the directory of a provisioner's operations. The guest program sorts them by name.
var recordedDir = regexp.MustCompile(`^[0-9]{3,}$`)

func (r *Recording) user() string {
	if r.User == "" {
		return "root"
	}
	return r.User
}

func (r *Recording) check(url string) error {
	if r == nil {
		if url != "" {
			return errors.New("there is a URL of recorded provisioners, but there are none")
		}
		return nil
	}
	var problems []error
	if !IsUserName(r.user()) {
		problems = append(problems, fmt.Errorf("user name %q is not valid", r.user()))
	}
	if r.Files.Staged() == (url == "") {
		problems = append(
			problems,
			errors.New("the archive of the recorded provisioners is neither inline nor at a URL"),
		)
	}
	for _, p := range slices.Concat(r.First, r.Provisioners, r.Last) {
		if !recordedDir.MatchString(p.Dir) {
			problems = append(problems, fmt.Errorf("directory %q of %s is not a number of three digits", p.Dir, p.Name))
		}
	}
	return errors.Join(problems...)
}
