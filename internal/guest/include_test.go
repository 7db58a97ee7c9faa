// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func include(t *testing.T, in Included) [][3]string {
	t.Helper()
	userData, err := Include(in)
	if err != nil {
		t.Fatal(err)
	}
	document, err := Decompress(userData)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, document)
}

func TestIncludeVerifiesTheDownloadFirst(t *testing.T) {
	parts := include(
		t,
		Included{URL: "https://b.s3/k?X-Amz-Signature=1", SHA256: strings.Repeat("ab", 32), BakeID: testID},
	)
	if len(parts) != 2 || parts[0][0] != typeBoothook || parts[1][0] != "text/x-include-once-url" {
		t.Fatalf("the parts are %v", parts)
	}
	golden(t, "verify_include.sh", []byte(parts[0][2]))
	if want := "#include-once\nhttps://b.s3/k?X-Amz-Signature=1\n"; parts[1][2] != want {
		t.Errorf("what is included is %q", parts[1][2])
	}
}

func TestIncludeRefusesValuesThatCouldInjectCode(t *testing.T) {
	good := Included{URL: "https://b.s3/k", SHA256: strings.Repeat("ab", 32), BakeID: testID}
	for name, change := range map[string]func(*Included){
		"a URL of two lines":    func(in *Included) { in.URL += "\n#include\nhttp://evil" },
		"no URL":                func(in *Included) { in.URL = "" },
		"a checksum with shell": func(in *Included) { in.SHA256 = "'; reboot; '" },
		"an id with shell":      func(in *Included) { in.BakeID = "$(reboot)" },
	} {
		in := good
		change(&in)
		if _, err := Include(in); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

// runVerifyInclude runs the first part of included user data with the files that cloud-init has fetched. It returns the
// console, and whether the machine goes on, powers off, or waits for ever.
func runVerifyInclude(t *testing.T, in Included, fetched map[string]string) (console, end string) {
	t.Helper()
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	file("console", "", 0o644)
	file("bin/systemctl", "#!/bin/sh\necho off >"+dir+"/end\n", 0o755)
	file("bin/sync", "#!/bin/sh\n", 0o755)
	file("bin/sleep", "#!/bin/sh\n[ $1 = 1 ] || kill -9 $PPID\n", 0o755)
	for name, content := range fetched {
		file("urlcache/"+name, content, 0o600)
	}
	script := strings.NewReplacer("/var/lib/cloud/instance/data/urlcache", dir+"/urlcache", ">/dev/console",
		">>"+dir+"/console").
		Replace(include(t, in)[0][2])
	file("verify_include.sh", script, 0o755)
	cmd := exec.CommandContext(t.Context(), "/bin/sh", filepath.Join(dir, "verify_include.sh"))
	cmd.Env = []string{"PATH=" + filepath.Join(dir, "bin") + ":/usr/bin:/bin"}
	goesOn := cmd.Run() == nil
	text, err := os.ReadFile(filepath.Join(dir, "console"))
	if err != nil {
		t.Fatal(err)
	}
	switch _, err := os.Stat(filepath.Join(dir, "end")); {
	case goesOn:
		end = "goes on"
	case err == nil:
		end = "powers off"
	default:
		end = "waits"
	}
	return string(text), end
}

func TestAMachineRunsNothingThatPackerHasNotStaged(t *testing.T) {
	sum := sha256.Sum256([]byte("good\n"))
	for name, c := range map[string]struct {
		fetched map[string]string
		stayOn  bool
		end     string
	}{
		"what was staged":             {map[string]string{"1": "good\n"}, false, "goes on"},
		"beside something older":      {map[string]string{"1": "old", "2": "good\n"}, false, "goes on"},
		"something else":              {map[string]string{"1": "evil\n"}, false, "powers off"},
		"nothing":                     {nil, false, "powers off"},
		"something else, with StayOn": {map[string]string{"1": "evil\n"}, true, "waits"},
	} {
		t.Run(name, func(t *testing.T) {
			in := Included{URL: "https://b.s3/k", SHA256: hex.EncodeToString(sum[:]), BakeID: testID, StayOn: c.stayOn}
			console, end := runVerifyInclude(t, in, c.fetched)
			if diff := cmp.Diff(c.end, end); diff != "" {
				t.Errorf("the machine (-want +got):\n%s", diff)
			}
			outcome, judged := Judge(ReadReports([]byte(console), testID))
			if refused := c.end != "goes on"; judged != refused || outcome.OK {
				t.Errorf("the verdict is %+v, %v\n%s", outcome, judged, console)
			}
			if judged && !strings.Contains(outcome.Err().Error(), "is not what Packer has staged: its sha256 is ") {
				t.Errorf("the error is %v", outcome.Err())
			}
		})
	}
}
