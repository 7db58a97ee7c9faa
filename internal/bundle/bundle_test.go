// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// TestMain makes the test program compile a bundle when it is started as a separate process, with another umask and
// environment.
func TestMain(m *testing.M) {
	if source := os.Getenv("BUNDLE_TEST_SOURCE"); source != "" {
		if _, err := Compile(context.Background(),
			Options{Source: source, Target: os.Getenv("BUNDLE_TEST_TARGET")}); err != nil {
			panic(err)
		}
		return
	}
	os.Exit(m.Run())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// imageSource writes an Image-Source; scripts are executable.
func imageSource(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "image")
	for name, content := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		mode := fs.FileMode(0o644)
		if strings.HasPrefix(name, "script/") {
			mode = 0o755
		}
		must(t, os.WriteFile(path, []byte(content), mode))
		must(t, os.Chmod(path, mode))
	}
	return dir
}

// hello returns the files of an Image-Source with everything except compile.sh.
func hello() map[string]string {
	return map[string]string{
		"ami.env":                "NAME=hello\nVERSION=1.2.3\nTEAM='the bakers'\n",
		"readme.md":              "# Hello\n\nAn image that says hello.\n",
		"fs/etc/hello.conf":      "greeting=hello\n",
		"script/install.sh":      "#!/bin/sh\nset -e\ninstall -d /srv/hello\n",
		"cloudinit/10_early.cfg": "#cloud-config\nruncmd:\n  - echo early\n",
		"cloudinit/20_hook.cfg":  "#cloud-boothook\n#!/bin/sh\necho hook\n",
		"cloudinit/40_early.sh":  "#!/bin/sh\necho script\n",
		"cloudinit/60_late.yml": "#cloud-config\npackages:\n  - nginx\nruncmd:\n  - [echo, two words]\n  - " +
			"echo last\n",
		"cloudinit/70_late_script.sh": "#!/bin/sh\necho late\n",
		"cloudinit/80_silent.cfg":     "#cloud-config\npackages:\n  - curl\n",
	}
}

func with(files map[string]string, more ...string) map[string]string {
	for i := 0; i < len(more); i += 2 {
		files[more[i]] = more[i+1]
	}
	return files
}

// random returns a text that does not compress.
func random(n int) string {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	return string(data)
}

func compile(t *testing.T, o Options) *Bundle {
	t.Helper()
	if o.Target == "" {
		o.Target = filepath.Join(t.TempDir(), "out")
	}
	b, err := Compile(t.Context(), o)
	must(t, err)
	return b
}

// names returns the names in a directory.
func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var found []string
	for _, e := range entries {
		found = append(found, e.Name())
	}
	return found
}

func document(t *testing.T, b *Bundle) string {
	t.Helper()
	compressed, err := os.ReadFile(b.UserData.Path)
	must(t, err)
	content, err := guest.Decompress(compressed)
	must(t, err)
	return string(content)
}

func TestASmallFsIsInTheUserData(t *testing.T) {
	b := compile(t, Options{Source: imageSource(t, hello())})
	if diff := cmp.Diff([]string{"userdata.gz", "vars.env"}, names(t, b.Dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if !b.FSInline || b.NeedsStaging || b.FS != (File{}) {
		t.Errorf("fs is not inside: %+v", b)
	}
	if b.Name != "hello" || b.Version != "1.2.3" || b.Env["TEAM"] != "the bakers" {
		t.Errorf("ami.env is not there: %+v", b)
	}
}

func TestALargeFsIsAFileOfItsOwn(t *testing.T) {
	source := imageSource(t, with(hello(), "fs/opt/app", random(9000)))
	b := compile(t, Options{Source: source, S3URL: "s3://bucket/path/fs.tgz", Region: "eu-west-1"})
	if diff := cmp.Diff([]string{"fs.tgz", "userdata.gz", "vars.env"}, names(t, b.Dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if b.FSInline || !b.NeedsStaging || b.FS.Size < 9000 {
		t.Errorf("fs is not staged: %+v", b)
	}
	if b.Env["FSS3URL"] != "s3://bucket/path/fs.tgz" || b.Env["AWSREGION"] != "eu-west-1" {
		t.Errorf("vars.env does not say where fs.tgz goes: %v", b.Env)
	}
	if doc := document(t, b); !strings.Contains(doc, b.FS.SHA256) {
		t.Error("the user data does not know the checksum of fs.tgz")
	}
}

func TestTheInlineLimitIsInclusive(t *testing.T) {
	source := imageSource(t, hello())
	size := compile(t, Options{Source: source, InlineLimit: -1}).FS.Size
	for limit, inline := range map[int64]bool{size: true, size - 1: false, -1: false} {
		if b := compile(t, Options{Source: source, InlineLimit: limit}); b.FSInline != inline {
			t.Errorf("%d bytes with the limit %d: inline is %v", size, limit, b.FSInline)
		}
	}
}

func TestWithoutFsNothingIsUnpacked(t *testing.T) {
	b := compile(t, Options{Source: imageSource(t,
		map[string]string{"cloudinit/60_a.cfg": "#cloud-config\nruncmd: [echo]\n"})})
	if b.FSInline || b.NeedsStaging || b.Env["BAKERY_FS_SIZE"] != "0" || b.Env["BAKERY_FS_INLINE"] != "false" {
		t.Errorf("got %+v", b)
	}
	read, err := Read(b.Dir)
	must(t, err)
	if diff := cmp.Diff(b, read); diff != "" {
		t.Errorf("read back (-compiled +read):\n%s", diff)
	}
}

func TestUserDataOverTheLimitNeedsStaging(t *testing.T) {
	big := "#!/bin/sh\n: '" + strings.ReplaceAll(hexed(random(15_000)), "'", "") + "'\n"
	b := compile(t, Options{Source: imageSource(t, with(hello(), "script/install.sh", big))})
	if b.UserData.Size <= guest.MaxUserData || !b.NeedsStaging || b.FS.Path != "" {
		t.Errorf("got %+v", b)
	}
}

func hexed(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		b.WriteByte('A' + c%58)
	}
	return b.String()
}

func TestCompilingAgainRemovesAnOldFsArchive(t *testing.T) {
	target := filepath.Join(t.TempDir(), "out")
	source := imageSource(t, with(hello(), "fs/opt/app", random(9000)))
	compile(t, Options{Source: source, Target: target})
	must(t, os.Remove(filepath.Join(source, "fs/opt/app")))
	b := compile(t, Options{Source: source, Target: target})
	if diff := cmp.Diff([]string{"userdata.gz", "vars.env"}, names(t, b.Dir)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
}

func TestEveryShellCanSourceVarsEnv(t *testing.T) {
	source := imageSource(t, with(hello(), "ami.env", "NAME=\"it's\"\nVERSION=1\nODD='$(id) `x` \" \\ \ntwo lines'\n"))
	b := compile(t, Options{Source: source})
	script := `set -eu; . "$1/vars.env"; printf '%s|%s|%s|%s|%s' "$NAME" "$ODD" "$AWSREGION" ` +
		`"$BAKERY_USERDATA_SHA256" "$BAKERY_FS_INLINE"`
	for _, shell := range []string{"dash", "bash"} {
		got, err := exec.Command(shell, "-c", script, "sh", b.Dir).Output()
		must(t, err)
		want := "it's|$(id) `x` \" \\ \ntwo lines|ap-northeast-1|" + b.UserData.SHA256 + "|true"
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", shell, diff)
		}
	}
}

func TestOptionsReplaceValuesOfAmiEnv(t *testing.T) {
	source := imageSource(t, with(hello(), "ami.env", "NAME=a\nVERSION=1\nAWSREGION=mars\nFSS3URL=s3://old/x\n"))
	b := compile(t, Options{Source: source, S3URL: "s3://bucket/fs.tgz", InlineLimit: -1})
	if b.Env["AWSREGION"] != "ap-northeast-1" || b.Env["FSS3URL"] != "s3://bucket/fs.tgz" {
		t.Errorf("got %v", b.Env)
	}
}

func TestStepsAreInTheOrderOfTheirPriority(t *testing.T) {
	src, problems := readSource(imageSource(t, hello()), nil)
	must(t, problems.Err())
	program, problems := assemble(src, src.Install)
	must(t, problems.Err())
	want := guest.Program{
		Before: []guest.Step{
			{Name: "10_early.cfg", Commands: []guest.Command{{Index: 0, Script: "echo early"}}},
			{Name: "40_early.sh", Script: []byte("#!/bin/sh\necho script\n")},
		},
		Boothooks: []guest.Part{{Name: "20_hook.cfg", Content: []byte("#cloud-boothook\n#!/bin/sh\necho hook\n")}},
		Install:   []byte("#!/bin/sh\nset -e\ninstall -d /srv/hello\n"),
		After: []guest.Step{
			{Name: "60_late.yml", Commands: []guest.Command{
				{Index: 0, Script: "'echo' 'two words'"}, {Index: 1, Script: "echo last"},
			}},
			{Name: "70_late_script.sh", Script: []byte("#!/bin/sh\necho late\n")},
		},
		CloudConfig: program.CloudConfig,
		Keys:        []string{"packages"},
	}
	if diff := cmp.Diff(want, program); diff != "" {
		t.Errorf("program (-want +got):\n%s", diff)
	}
	if config := string(program.CloudConfig); !strings.Contains(config, "nginx") || !strings.Contains(config, "curl") {
		t.Errorf("the lists are not joined:\n%s", config)
	}
}

func TestTheSameSourceGivesTheSameBytes(t *testing.T) {
	files := with(hello(), "fs/opt/app", random(9000), "script/compile.sh",
		"#!/bin/sh\nset -e\nmkdir fs/opt/made\necho made >fs/opt/made/file\necho MADE=yes\n")
	first := compile(t, Options{Source: imageSource(t, files)})

	elsewhere := imageSource(t, files)
	program, err := os.Executable()
	must(t, err)
	for name, c := range map[string]struct{ script, dir, zone string }{
		"in the source, under a strict umask": {`umask 077; exec "$0"`, elsewhere, "Asia/Tokyo"},
		"in /, under no umask":                {`umask 000; exec "$0"`, "/", "America/New_York"},
		// A user who is not root becomes root in a namespace.
		"as another user": {`chmod 0777 "$TMPDIR"
			[ "$(id -u)" = 0 ] || exec unshare --map-root-user "$0"
			exec setpriv --reuid=65534 --regid=65534 --clear-groups "$0"`, "/", "UTC"},
	} {
		t.Run(name, func(t *testing.T) {
			// Every user must be able to read the source and the program, and to write to a directory.
			scratch, err := os.MkdirTemp("", "bundle-test-") //nolint:usetesting // other users cannot read t.TempDir
			must(t, err)
			t.Cleanup(func() { os.RemoveAll(scratch) })
			must(t, os.Chmod(scratch, 0o755))
			copied, source := filepath.Join(scratch, "test"), filepath.Join(scratch, "image")
			must(t, exec.Command("cp", program, copied).Run())
			must(t, exec.Command("cp", "-rp", elsewhere, source).Run())
			tmp := filepath.Join(scratch, "tmp")
			must(t, os.Mkdir(tmp, 0o700))
			target := filepath.Join(tmp, "out")

			cmd := exec.Command("sh", "-c", c.script, copied)
			cmd.Dir = c.dir
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TZ=" + c.zone, "TMPDIR=" + tmp,
				"BUNDLE_TEST_SOURCE=" + source, "BUNDLE_TEST_TARGET=" + target}
			if said, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, said)
			}
			for _, file := range []string{UserDataName, FSName, VarsName} {
				want, err := os.ReadFile(filepath.Join(first.Dir, file))
				must(t, err)
				got, err := os.ReadFile(filepath.Join(target, file))
				must(t, err)
				if !bytes.Equal(want, got) {
					t.Errorf("%s differs", file)
				}
				info, err := os.Stat(filepath.Join(target, file))
				must(t, err)
				if info.Mode().Perm() != 0o644 {
					t.Errorf("%s has the mode %v", file, info.Mode())
				}
			}
			if diff := cmp.Diff([]string{"out"}, names(t, tmp)); diff != "" {
				t.Errorf("left behind (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAFailureDoesNotChangeTheTarget(t *testing.T) {
	source := imageSource(t, hello())
	target := filepath.Join(t.TempDir(), "out")
	before := compile(t, Options{Source: source, Target: target})

	must(t, os.WriteFile(filepath.Join(source, "fs/opt"), []byte(random(9000)), 0o600))
	stop, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("had enough"))
	if _, err := Compile(stop, Options{Source: source, Target: target}); err == nil ||
		!strings.Contains(err.Error(), "had enough") {
		t.Errorf("got %v", err)
	}
	after, err := Read(target)
	must(t, err)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the bundle changed (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"userdata.gz", "vars.env"}, names(t, target)); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}

	fresh := filepath.Join(t.TempDir(), "fresh")
	if _, err := Compile(stop, Options{Source: source, Target: fresh}); err == nil {
		t.Error("an ended context compiles")
	}
	if _, err := os.Stat(fresh); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the target was made and stays: %v", err)
	}
}

func TestATargetThatCannotBeMadeIsNamedInTheError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	_, err := Compile(t.Context(), Options{Source: imageSource(t, hello()), Target: filepath.Join(file, "out")})
	if err == nil || !strings.HasPrefix(err.Error(), "write the bundle: ") || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}

// The work folder of compile.sh is a copy, in which a hard link is a file of its own.
func TestCompileWarnsOfWhatTheWorkFolderLosesOfFS(t *testing.T) {
	for script, want := range map[string]int{"": 1, "#!/bin/sh\n": 1, "#!/bin/sh\nrm fs/opt/linked\n": 0} {
		files := with(hello(), "fs/opt/first", "x")
		if script != "" {
			files = with(files, "script/compile.sh", script)
		}
		source := imageSource(t, files)
		must(t, os.Link(filepath.Join(source, "fs/opt/first"), filepath.Join(source, "fs/opt/linked")))
		b, err := Compile(t.Context(), Options{Source: source, Target: filepath.Join(t.TempDir(), "out")})
		must(t, err)
		if got := strings.Count(strings.Join(b.Warnings, "\n"), "is a hard link to fs/opt/first"); got != want {
			t.Errorf("with compile.sh %q, the warnings are %q", script, b.Warnings)
		}
	}
}

func TestWarningsAreShownAndReturned(t *testing.T) {
	source := imageSource(t, with(hello(), "scripts/x", "y"))
	var shown []string
	b := compile(t, Options{Source: source, Output: func(line string) { shown = append(shown, line) }})
	if len(b.Warnings) != 1 || !strings.Contains(b.Warnings[0], filepath.Join(source, "scripts")+": warning: ") {
		t.Errorf("got %q", b.Warnings)
	}
	if diff := cmp.Diff(b.Warnings, shown); diff != "" {
		t.Errorf("shown (-kept +shown):\n%s", diff)
	}
	if _, err := Compile(t.Context(), Options{Source: source, Target: t.TempDir(), Strict: true}); err == nil {
		t.Error("strict lets a warning pass")
	}
}
