// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// FuzzDecompress: the result is never larger than the limit, and what was compressed comes back.
func FuzzDecompress(f *testing.F) {
	f.Add([]byte("#!/bin/sh\ntrue\n"))
	f.Add(Compress([]byte("#cloud-config\n")))
	f.Add(Compress(make([]byte, 1<<20)))
	f.Add([]byte{0x1f, 0x8b, 8, 0})
	f.Fuzz(func(t *testing.T, userData []byte) {
		if document, err := Decompress(userData); err == nil && len(document) > maxDocument {
			t.Errorf("%d bytes become %d", len(userData), len(document))
		}
		again, err := Decompress(Compress(userData))
		if err != nil || !bytes.Equal(again, userData) {
			t.Errorf("compressed and decompressed: %v", err)
		}
	})
}

// FuzzDocument: for any program, the document is MIME with exactly its parts, and a delivery can be added.
func FuzzDocument(f *testing.F) {
	f.Add(
		[]byte("#cloud-config\na: b\n"),
		"05_early.sh",
		[]byte("#!/bin/sh\n"),
		"60_app.cfg",
		[]byte("#!/bin/sh\ntrue\n"),
	)
	f.Add([]byte("--bakery-\n"), "a\"b\r\nX: y", []byte("#!\n--\n\xff"), "a\nb 'c'", []byte("BAKERY_END\n"))
	f.Fuzz(func(t *testing.T, config []byte, hookName string, hook []byte, stepName string, script []byte) {
		if !isText(config) || len(config) == 0 {
			return // Merge writes ASCII
		}
		p := Program{
			CloudConfig: config,
			Boothooks:   []Part{{hookName, hook}},
			After:       []Step{{Name: stepName, Script: script}},
		}
		document, err := Document(p)
		if err != nil {
			return
		}
		parts := read(t, document)
		if len(parts) != 2 || parts[1][2] != string(config) {
			t.Fatalf("the document of %q and %q has these parts: %q", config, hook, parts)
		}
		delivered, err := Deliver(document, testLaunch, Delivery{Timeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		left := append(Delivery{}.unneeded(unitsOf(document), testLaunch), absent(document)...)
		if document, err = tailor(document, left...); err != nil {
			t.Fatal(err)
		}
		if with := read(t, delivered); len(with) != 3 || cmp.Diff(read(t, document), with[1:]) != "" {
			t.Errorf("the delivery changes the document:\n%s", delivered)
		}
	})
}

// FuzzDeliver: a delivery can be added to any user data, or is refused; the document's own parts do not change.
func FuzzDeliver(f *testing.F) {
	document, err := Document(fullProgram)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(document, "https://bucket.s3.amazonaws.com/fs.tgz?X-Amz-Signature=a", "https://x/log")
	f.Add([]byte("Content-Type: multipart/mixed; boundary=\"bakery-\"\n\n--bakery-\n"), "", "x y")
	f.Fuzz(func(t *testing.T, document []byte, fsURL, logURL string) {
		delivered, err := Deliver(
			document,
			testLaunch,
			Delivery{Timeout: time.Minute, FSURL: fsURL, LogURL: logURL},
		)
		if err != nil {
			return
		}
		left := Delivery{FSURL: fsURL, LogURL: logURL}.unneeded(unitsOf(document), testLaunch)
		left = append(left, absent(document)...)
		if document, err = tailor(document, left...); err != nil {
			t.Fatal(err)
		}
		if len(delivered) <= len(document) {
			t.Fatal("nothing was added")
		}
		added := len(delivered) - len(document)
		at := 0
		for at < len(document) && delivered[at] == document[at] {
			at++
		}
		for ; at >= 0; at-- { // the same bytes may follow in what was added
			if bytes.Equal(delivered[at+added:], document[at:]) {
				return
			}
		}
		t.Error("more than one place has changed")
	})
}

// FuzzDeliveryThroughSh: the shell of the machine reads the values of a delivery unchanged.
func FuzzDeliveryThroughSh(f *testing.F) {
	f.Add("https://b.s3.amazonaws.com/k?X-Amz-Signature=a&b='c'", "eu-west-1")
	f.Add("https://b/$(id)`id`%27;x", "';id;'")
	f.Fuzz(func(t *testing.T, url, region string) {
		d := Delivery{Timeout: time.Minute, FSURL: url, LogURL: url, Profile: true, Region: region}
		if d.check() != nil || url == "" || strings.ContainsRune(region, 0) || len(url)+len(region) > 10000 {
			return
		}
		file := filepath.Join(t.TempDir(), "delivery")
		if err := os.WriteFile(file, []byte(d.assignments()), 0o600); err != nil {
			t.Fatal(err)
		}
		const show = ". \"$0\"\nprintf '%s.' \"$BAKERY_FS_URL\" \"$BAKERY_LOG_URL\" \"$BAKERY_REGION\""
		cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", show, file)
		cmd.Env = []string{"PATH=/nonexistent"} // whatever it tries to run, it does not find
		out, err := cmd.CombinedOutput()
		if want := url + "." + url + "." + region + "."; err != nil || string(out) != want {
			t.Errorf("%q arrives as %q, %v", want, out, err)
		}
	})
}

// FuzzReadFacts: a machine may print anything.
func FuzzReadFacts(f *testing.F) {
	f.Add("bakery-uid=0 bakery-lacks=tar\nbakery-lacks=cloud-init")
	f.Add("bakery-uid=\x00")
	f.Fuzz(func(t *testing.T, printed string) {
		facts, known := ReadFacts(printed)
		if !known && facts.Root {
			t.Errorf("root, without an answer of the probe: %q", printed)
		}
		if n := strings.Count(printed, "bakery-lacks="); len(facts.Lacks) > n {
			t.Errorf("%d programs are missing, the probe printed %d", len(facts.Lacks), n)
		}
	})
}
