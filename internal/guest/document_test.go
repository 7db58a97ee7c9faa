// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"encoding/base64"
	"errors"
	"flag"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares got with testdata/name, byte for byte.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s: -want +got (write it with -update):\n%s", name, diff)
	}
}

// testLaunch is of a bake with staging.
var testLaunch = Launch{
	Reader: testReader, CommitURL: "https://b.s3/commitment?X-Amz-Signature=1", CommitHeaders: []string{"if-none-match: *"},
}

var fullProgram = Program{
	CloudConfig: []byte("#cloud-config\npackages:\n- nginx\nwrite-files: []\n"),
	Keys:        []string{"packages", "write-files"},
	Boothooks:   []Part{{"05_early.sh", []byte("#cloud-boothook\n#!/bin/sh\necho \xc3\xa9\n")}},
	Before:      []Step{{Name: "10_user.cfg", Commands: []Command{{0, "cd /opt"}, {2, "echo \xc3\xa9"}}}},
	Files: Files{
		SHA256: strings.Repeat("ab", 32),
		Size:   9000,
		S3URL:  "s3://bucket/a b/fs.tgz",
		Region: "eu-west-1",
	},
	Install: []byte("#!/bin/sh\necho BAKERY_END\nBAKERY_END\n"),
	After:   []Step{{Name: "70 sp\nace.cfg", Script: []byte("#!/bin/bash\necho no new line")}},
}

// read parses a document with the standard library, and returns each part's type, name and body.
func read(t *testing.T, document []byte) [][3]string {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(document))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/mixed" {
		t.Fatalf("%s: %v", kind, err)
	}
	var parts [][3]string
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		if p.Header.Get("Content-Transfer-Encoding") == "base64" {
			if body, err = base64.StdEncoding.DecodeString(strings.ReplaceAll(string(body), "\n", "")); err != nil {
				t.Fatal(err)
			}
		}
		parts = append(parts, [3]string{p.Header.Get("Content-Type"), p.FileName(), string(body)})
	}
}

func TestDocumentIsTheSameBytesEveryTimeAndReadsBack(t *testing.T) {
	first, err := Document(fullProgram)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Document(fullProgram)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) || !bytes.Equal(Compress(first), Compress(second)) {
		t.Error("two renderings of one program differ")
	}
	parts := read(t, first)
	var names []string
	for _, p := range parts {
		names = append(names, p[0]+" "+p[1])
	}
	want := []string{
		"text/cloud-boothook bakery.sh",
		"text/cloud-config cloud-config.cfg",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	golden(t, "boothook.sh", []byte(withoutPrograms(parts[0][2])))
}

// withoutPrograms replaces the programs of the guest by their names: they change often, and are not in golden files.
func withoutPrograms(text string) string {
	for name, source := range map[string][]byte{
		"bakery.sh": programSource, "s3get.py": s3getSource, "cloud_init.py": cloudInitSource,
		"cloud_keys.py": cloudKeysSource, "asked_reboot.py": askedRebootSource, "rules.py": rulesSource,
		"wipe.py": wipeSource,
	} {
		program := shorten(strip(source))
		if strings.HasSuffix(name, ".py") {
			program = pythonProgram(source)
		}
		text = strings.Replace(text, string(program), "(program/"+name+")\n", 1)
	}
	return strings.Replace(text, string(bareProgram(unitsOf([]byte(text)))), "(program/bakery.sh)\n", 1)
}

func TestBoothookIsValidForEveryShell(t *testing.T) {
	hook, err := boothook(fullProgram)
	if err != nil {
		t.Fatal(err)
	}
	for _, sh := range [][]string{{"dash", "-n"}, {"bash", "--posix", "-n"}} {
		cmd := exec.CommandContext(t.Context(), sh[0], sh[1:]...)
		cmd.Stdin = bytes.NewReader(hook)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", sh[0], err, out)
		}
	}
}

func TestDeliver(t *testing.T) {
	document, err := Document(fullProgram)
	if err != nil {
		t.Fatal(err)
	}
	d := Delivery{
		Timeout:     90 * time.Second,
		FSURL:       "https://b.s3/k?X-Amz-Signature=1&x='",
		LogURL:      "https://b.s3/log",
		SkipCleanup: []string{"ssh_files"},
	}
	delivered, err := Deliver(document, testLaunch, d)
	if err != nil {
		t.Fatal(err)
	}
	parts := read(t, delivered)
	if parts[0][1] != "bakery-delivery.sh" || len(parts) != 3 {
		t.Fatalf("the delivery is not in front: %v", parts[0])
	}
	golden(t, "delivery.sh", []byte(parts[0][2]))
}

func TestDeliverARecording(t *testing.T) {
	document, err := Document(fullProgram)
	if err != nil {
		t.Fatal(err)
	}
	d := Delivery{
		Timeout:      90 * time.Second,
		FSURL:        "https://b.s3/fs",
		RecordingURL: "https://b.s3/p",
		Profile:      true,
		Region:       "eu-west-1",
	}
	d.Recording = &Recording{
		User: "admin", Files: Files{SHA256: strings.Repeat("cd", 32), Size: 9000},
		First:        []Provisioner{{"001", "provisioner 1 (file)"}},
		Provisioners: []Provisioner{{"002", "provisioner 2 (shell set\nup.sh)"}},
		Last:         []Provisioner{{"003", "provisioner 3"}},
	}
	delivered, err := Deliver(document, testLaunch, d)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "recording.sh", []byte(read(t, delivered)[0][2]))

	d.Recording.Files, d.RecordingURL = Files{Inline: []byte("\x1f\x8b")}, ""
	if delivered, err = Deliver(document, testLaunch, d); err != nil {
		t.Fatal(err)
	}
	if hook := read(t, delivered)[0][2]; !strings.Contains(hook, "base64 -d >provisioners.tgz <<'BAKERY_END'\nH4s=\n") {
		t.Errorf("the archive is not in the delivery:\n%s", hook)
	}
}

func TestAMachineThatSignsRequestsHasTheProgramForIt(t *testing.T) {
	staged := Program{
		Files: Files{SHA256: strings.Repeat("ab", 32), Size: 9000, S3URL: "s3://bucket/fs.tgz", Region: "eu-west-1"},
	}
	for name, c := range map[string]struct {
		program Program
		fsURL   string
		profile bool
		want    int
	}{
		"recorded provisioners alone":    {Program{}, "", true, 1},
		"beside a staged fs":             {staged, "https://b.s3/fs", true, 1},
		"with presigned URLs, and no fs": {Program{}, "", false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			document, err := Document(c.program)
			if err != nil {
				t.Fatal(err)
			}
			delivered, err := Deliver(document, testLaunch, Delivery{
				Timeout:      time.Hour,
				FSURL:        c.fsURL,
				RecordingURL: "https://b.s3/p",
				Profile:      c.profile,
				Region:       "eu-west-1",
				Recording: &Recording{
					Files:        Files{SHA256: strings.Repeat("cd", 32), Size: 9000},
					Provisioners: []Provisioner{{"001", "provisioner 1"}},
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if got := bytes.Count(delivered, []byte("cat >s3get.py")); got != c.want {
				t.Errorf("s3get.py is there %d times, want %d", got, c.want)
			}
		})
	}
}

func TestDeliverRefuses(t *testing.T) {
	document, err := Document(Program{})
	if err != nil {
		t.Fatal(err)
	}
	good := Delivery{Timeout: time.Minute}
	for name, c := range map[string]struct {
		document []byte
		change   func(*Delivery)
		want     string
	}{
		"user data of another tool": {[]byte("#cloud-config\n"), func(*Delivery) {}, "not compiled by this plugin"},
		"a document that is cut":    {document[:50], func(*Delivery) {}, "not compiled by this plugin"},
		"a document without parts": {[]byte("Content-Type: multipart/mixed; boundary=\"bakery-1\"\n\n"),
			func(*Delivery) {}, "not compiled by this plugin"},
		"no time": {document, func(d *Delivery) { d.Timeout = 0 }, "timeout"},
		"a failure of no name": {document, func(d *Delivery) { d.IgnoreFailures = []string{"x"} },
			"ignore_failures"},
		"a section of no clean-up": {document, func(d *Delivery) { d.SkipCleanup = []string{"x"} }, "section"},
		"a URL with a quote":       {document, func(d *Delivery) { d.FSURL = `http://x/"` }, "not escaped"},
		"a profile without a region": {document, func(d *Delivery) { d.FSURL, d.Profile = "http://x/", true },
			"region"},
		"a recording without archive": {document,
			func(d *Delivery) { d.Recording = &Recording{Files: Files{SHA256: "ab"}} }, "neither inline nor"},
		"a URL but no recording": {document, func(d *Delivery) { d.RecordingURL = "http://x/" }, "there are none"},
		"a recording for an old document": {
			bytes.Replace(document, []byte("\nrecorded - provisioners\n"), []byte("\n"), 1),
			func(d *Delivery) { d.Recording = &Recording{Files: Files{Inline: []byte("x")}} },
			"compile the Image-Source again",
		},
		"a user with a command": {document, func(d *Delivery) { d.Recording = &Recording{User: "a;b"} }, "user name"},
		"a directory elsewhere": {document, func(d *Delivery) {
			d.Recording = &Recording{Provisioners: []Provisioner{{"../x", "x"}}}
		}, "not a number"},
		"a recording without a region": {document, func(d *Delivery) {
			d.RecordingURL, d.Profile, d.Recording = "http://x/", true, &Recording{Files: Files{SHA256: "ab"}}
		}, "region"},
		"a URL with a line break": {document, func(d *Delivery) { d.LogURL = "http://x/\nfile" }, "not escaped"},
	} {
		t.Run(name, func(t *testing.T) {
			d := good
			c.change(&d)
			_, err := Deliver(c.document, testLaunch, d)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestDocumentRefusesInvalidPrograms(t *testing.T) {
	for name, p := range map[string]Program{
		"commands and a script":   {After: []Step{{Name: "x", Script: []byte("#!"), Commands: []Command{{0, "a"}}}}},
		"an S3 URL of https":      {Files: Files{SHA256: "ab", S3URL: "https://x/y"}},
		"an S3 URL without a key": {Files: Files{SHA256: "ab", S3URL: "s3://bucket/"}},
	} {
		if _, err := Document(p); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestPlainURL(t *testing.T) {
	for _, c := range []struct{ s3URL, region, want string }{
		{"s3://bucket/a/fs.tgz", "eu-west-3", "https://bucket.s3.eu-west-3.amazonaws.com/a/fs.tgz"},
		{"s3://bucket/a/fs.tgz", "cn-north-1", "https://bucket.s3.cn-north-1.amazonaws.com.cn/a/fs.tgz"},
		{"s3://my.bucket/fs.tgz", "eu-west-3", "https://s3.eu-west-3.amazonaws.com/my.bucket/fs.tgz"},
	} {
		if got, err := PlainURL(c.s3URL, c.region); got != c.want || err != nil {
			t.Errorf("%s in %s is %s, want %s (%v)", c.s3URL, c.region, got, c.want, err)
		}
	}
}

func TestModules(t *testing.T) {
	got := string(Program{Keys: []string{"packages", "package_update", "ca-certs", "users", "output"}}.moduleLines())
	want := "ca-certs ca_certs\noutput\npackage_update package_update_upgrade_install\n" +
		"packages package_update_upgrade_install\nusers users_groups ssh_import_id ssh_authkey_fingerprints\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestNewBakeID(t *testing.T) {
	if one, other := NewBakeID(), NewBakeID(); len(one) != 16 || one == other {
		t.Error("bake ids are not 16 digits, or not different")
	}
	if !IsBakeID(NewBakeID()) {
		t.Error("a new bake id is not valid")
	}
}

func TestIsBakeID(t *testing.T) {
	for id, want := range map[string]bool{
		testID: true, "00000000000000aa": true, "": false, testID[1:]: false, testID + "0": false,
		"0123456789ABCDEF": false,
		"0123456789abcdeg": false, " 123456789abcde ": false, "01234567 9abcdef": false,
	} {
		if got := IsBakeID(id); got != want {
			t.Errorf("%q: %t, want %t", id, got, want)
		}
	}
}
