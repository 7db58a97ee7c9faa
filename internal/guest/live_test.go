// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package guest

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// unpackLive makes a payload with an fs.tgz of a size, and returns its script, and the headers and contents of its
// archive.
func unpackLive(
	t *testing.T,
	p Program,
	fsSize int,
) (script string, files map[string]*tar.Header, contents map[string]string) {
	t.Helper()
	live, err := MakeLive(p, testReader, int64(fsSize))
	if err != nil {
		t.Fatal(err)
	}
	whole := append(append(bytes.Clone(live.Head), bytes.Repeat([]byte("f"), fsSize)...), live.Tail...)
	if len(whole)%tarBlock != 0 {
		t.Errorf("the payload ends in the middle of a block, after %d bytes", len(whole))
	}
	_, offset, _ := strings.Cut(string(whole), "tail -c +")
	var n int
	if _, err := fmt.Sscanf(offset, "%d", &n); err != nil {
		t.Fatal(err)
	}
	files, contents = map[string]*tar.Header{}, map[string]string{}
	for r := tar.NewReader(bytes.NewReader(whole[n-1:])); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return string(whole[:n-1]), files, contents
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name], contents[h.Name] = h, string(content)
	}
}

func TestALivePayloadContainsTheProgram(t *testing.T) {
	script, files, contents := unpackLive(t, fullProgram, 700)
	golden(t, "live.sh", []byte(strings.TrimRight(script, "#\n")+"\n"))
	wantUnits := "boothook 001 05_early.sh (boothook)\nmodules - cloud-init\ncommand 001/0 10_user.cfg " +
		"runcmd[0]\ncommand " +
		"001/2 10_user.cfg runcmd[2]\n" +
		"extract fs fs extract\ninstall - script/install.sh\nscript 002 70 sp?ace.cfg\n"
	wantModules := "packages package_update_upgrade_install\nwrite-files write_files\n"
	for name, want := range map[string]string{
		"units": wantUnits, "modules": wantModules, "boothooks/001": "#!/bin/sh\necho \xc3\xa9\n",
		"cloud-config.cfg": string(fullProgram.CloudConfig), "install.sh": string(fullProgram.Install),
		"steps/001/2": "echo \xc3\xa9\n", "fs.tgz": strings.Repeat("f", 700),
	} {
		if diff := cmp.Diff(want, contents[name]); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
	for name, mode := range map[string]int64{
		"boothooks/001": 0o700, "steps/002": 0o700, "install.sh": 0o700, "steps/001/": 0o700, "cloud-config.cfg": 0o600,
		"fs.tgz": 0o600,
	} {
		if h := files[name]; h == nil || h.Mode != mode || h.Uid != 0 {
			t.Errorf("%s has the header %+v, want mode %04o", name, h, mode)
		}
	}
}

func TestAllOfALivePayloadButFsIsOverwritten(t *testing.T) {
	live, err := MakeLive(fullProgram, testReader, 700)
	if err != nil {
		t.Fatal(err)
	}
	// Up to where fs.tgz begins, in blocks of 512 bytes.
	if want := fmt.Sprintf(
		"BAKERY_BLOCKS=%010d\n",
		len(live.Head)/tarBlock,
	); !bytes.Contains(live.Head, []byte(want)) ||
		len(live.Head)%tarBlock != 0 {
		t.Errorf("a head of %d bytes does not say %q", len(live.Head), want)
	}
}

func TestAProgramWithoutFilesAndCloudConfigNeedsNeither(t *testing.T) {
	_, files, contents := unpackLive(t, Program{After: []Step{{Name: "60_a.sh", Script: []byte("#!/bin/sh\n")}}}, 0)
	if got, want := contents["units"], "script 001 60_a.sh\n"; got != want {
		t.Errorf("the steps are %q, want %q", got, want)
	}
	for _, name := range []string{"fs.tgz", "cloud-config.cfg", "modules", "modules.py"} {
		if files[name] != nil {
			t.Errorf("there is %s", name)
		}
	}
}

func TestTheLiveProgramIsValidForEveryShellAndNoPartOfUserData(t *testing.T) {
	_, _, contents := unpackLive(t, Program{}, 0)
	for _, sh := range [][]string{{"dash", "-n"}, {"bash", "--posix", "-n"}} {
		cmd := exec.CommandContext(t.Context(), sh[0], sh[1:]...)
		cmd.Stdin = strings.NewReader(contents["bakery.sh"])
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", sh[0], err, out)
		}
	}
	document, err := Document(fullProgram)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(document, []byte("bakery_live")) || !strings.Contains(contents["bakery.sh"], "bakery_live") {
		t.Error("the live mode is in user data, or missing in the live program")
	}
}

func TestMakeLiveRefuses(t *testing.T) {
	if _, err := MakeLive(Program{}, Reader{BakeID: "A B"}, 0); err == nil {
		t.Error("an invalid id: no error")
	}
	if _, err := MakeLive(
		Program{Before: []Step{{Name: "x", Script: []byte("#!"), Commands: []Command{{0, "a"}}}}},
		testReader,
		0,
	); err == nil {
		t.Error("a step with commands and a script: no error")
	}
}

func TestReadFacts(t *testing.T) {
	for name, c := range map[string]struct {
		printed string
		want    Facts
		ok      bool
	}{
		"root, and everything": {"bakery-uid=0\n", Facts{Root: true, CloudInit: true}, true},
		"after a greeting": {"0 updates\nbakery-uid=1000\nbakery-lacks=tar\nbakery-lacks=cloud-init\n",
			Facts{Lacks: []string{"tar"}}, true},
		"no shell": {"sh: command not found", Facts{CloudInit: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, ok := ReadFacts(c.printed)
			if diff := cmp.Diff(c.want, got); diff != "" || ok != c.ok {
				t.Errorf("%v, -want +got:\n%s", ok, diff)
			}
		})
	}
}

func TestProbeWorksOnThisComputer(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "sh", "-c", Probe).Output()
	if err != nil {
		t.Fatal(err)
	}
	if facts, ok := ReadFacts(string(out)); !ok || len(facts.Lacks) > 0 {
		t.Errorf("it printed %q", out)
	}
}

func TestReportIsFoundAfterOtherOutput(t *testing.T) {
	text := "no new line" + strings.TrimSpace(line(1, "start 2 60_app.cfg runcmd[0]")) + "."
	before, r, ok := testReader.Report(text)
	want := from(Report{Seq: 1, Kind: Start, Step: 2, Name: "60_app.cfg runcmd[0]"})[0]
	if !ok || before != "no new line" || r != want {
		t.Errorf("got %q, %+v, %v", before, r, ok)
	}
	text = strings.Replace(text, "start 2", "start 3", 1)
	if before, _, ok := testReader.Report(text); ok || before != text {
		t.Errorf("a wrong code passes: %q", before)
	}
}
