// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tree makes directories ("name/"), links ("name -> target") and files in a temporary directory. The content of a file
// is its name.
func tree(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if link, target, ok := strings.Cut(name, " -> "); ok {
			path = filepath.Join(dir, link)
			must(t, os.MkdirAll(filepath.Dir(path), 0o755))
			must(t, os.Symlink(target, path))
			continue
		}
		if strings.HasSuffix(name, "/") {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(name), 0o644))
	}
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func archiveDir(t *testing.T, dir string) ([]byte, Summary) {
	t.Helper()
	var out bytes.Buffer
	summary, err := Write(&out, dir, nil)
	must(t, err)
	return out.Bytes(), summary
}

// entry is the compared part of a tar header, with the content.
type entry struct {
	Name, Link string
	Type       byte
	Mode       int64
	Content    string
}

func entries(t *testing.T, compressed []byte) []entry {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(compressed))
	must(t, err)
	var found []entry
	for r := tar.NewReader(zip); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		must(t, err)
		if header.Uid != 0 || header.Gid != 0 || header.Uname != "" || header.Gname != "" ||
			header.ModTime.Unix() != 0 {
			t.Errorf("%s belongs to %d:%d %q:%q and is from %v",
				header.Name, header.Uid, header.Gid, header.Uname, header.Gname, header.ModTime)
		}
		content, err := io.ReadAll(r)
		must(t, err)
		found = append(found, entry{header.Name, header.Linkname, header.Typeflag, header.Mode, string(content)})
	}
}

func TestTheManifestComesFirstThenFilesAndLinksInOrder(t *testing.T) {
	dir := tree(t, "usr/local/bin/app", "etc/app/app.conf", "etc/app.conf", "lib/empty/", "etc/current -> app/app.conf",
		"etc/abs -> /opt/app")
	must(t, os.Chmod(filepath.Join(dir, "lib/empty"), 0o777|fs.ModeSticky))
	must(t, os.Chmod(filepath.Join(dir, "usr/local/bin/app"), 0o755|fs.ModeSetuid|fs.ModeSetgid))

	compressed, summary := archiveDir(t, dir)
	want := []entry{
		{ManifestName, "", tar.TypeReg, 0o600, `bakery_dir 0755 '/etc'
bakery_dir 0755 '/etc/app'
bakery_dir 0755 '/lib'
bakery_dir 1777 '/lib/empty'
bakery_dir 0755 '/usr'
bakery_dir 0755 '/usr/local'
bakery_dir 0755 '/usr/local/bin'
`},
		{"etc/abs", "/opt/app", tar.TypeSymlink, 0o777, ""},
		{"etc/app/app.conf", "", tar.TypeReg, 0o644, "etc/app/app.conf"},
		{"etc/app.conf", "", tar.TypeReg, 0o644, "etc/app.conf"},
		{"etc/current", "app/app.conf", tar.TypeSymlink, 0o777, ""},
		{"usr/local/bin/app", "", tar.TypeReg, 0o6755, "usr/local/bin/app"},
	}
	if diff := cmp.Diff(want, entries(t, compressed)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	sum := sha256.Sum256(compressed)
	if summary.SHA256 != hex.EncodeToString(sum[:]) || summary.Size != int64(len(compressed)) {
		t.Errorf("the summary %+v is not that of the bytes written", summary)
	}
	if summary.Entries != 5 || summary.UncompressedSize%512 != 0 {
		t.Errorf("the summary counts %d entries and %d bytes", summary.Entries, summary.UncompressedSize)
	}
}

func TestAnEmptyTreeHasAnEmptyManifest(t *testing.T) {
	compressed, _ := archiveDir(t, t.TempDir())
	want := []entry{{ManifestName, "", tar.TypeReg, 0o600, ""}}
	if diff := cmp.Diff(want, entries(t, compressed)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// unusualNames returns unusual but valid file names. Several are longer than the name field of a tar header.
func unusualNames() []string {
	return []string{
		"a name with spaces", "a\nnewline", "a\ttab", `back\slash`, `it's "quoted"`, "-rf", "täglich/日本語",
		"latin1 \xe4\xf6",
		"$(touch x)", "*", " ",
		strings.Repeat("l", 101), strings.Repeat("d", 90) + "/" + strings.Repeat("f", 90),
		strings.Repeat(strings.Repeat("deep", 50)+"/", 6) + "file", strings.Repeat("ü", 127),
		"link -> " + strings.Repeat("target/", 40), "länk -> zi\xff\nel",
	}
}

func TestTarUnpacksUnusualNamesInEveryLocale(t *testing.T) {
	dir := tree(t, unusualNames()...)
	compressed, _ := archiveDir(t, dir)
	for _, locale := range []string{"C", "C.UTF-8"} {
		t.Run(locale, func(t *testing.T) {
			out := t.TempDir()
			cmd := exec.Command("tar", "-xzf", "-", "-C", out)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=" + locale}
			cmd.Stdin = bytes.NewReader(compressed)
			if said, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("tar: %v\n%s", err, said)
			}
			must(t, os.RemoveAll(filepath.Join(out, "var")))
			if diff := cmp.Diff(contents(t, dir), contents(t, out)); diff != "" {
				t.Errorf("unpacked (-source +unpacked):\n%s", diff)
			}
		})
	}
}

// contents maps the path of each file and link to its content or target.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		var content []byte
		if d.Type() == fs.ModeSymlink {
			target, err := os.Readlink(path)
			must(t, err)
			content = []byte("-> " + target)
		} else {
			content, err = os.ReadFile(path)
			must(t, err)
		}
		found[strings.TrimPrefix(path, dir)] = string(content)
		return nil
	}))
	return found
}

// The manifest must make the directories, so this runs one with its own bakery_dir.
func TestTheManifestIsTheFirstEntryAndMakesDirectories(t *testing.T) {
	dir := tree(t, "srv/it's a\nname/", "srv/täglich/-x/", "opt/kept/")
	must(t, os.Chmod(filepath.Join(dir, "srv/täglich"), 0o700))
	must(t, os.Chmod(filepath.Join(dir, "opt/kept"), 0o777))
	must(t, os.WriteFile(filepath.Join(dir, "large"), make([]byte, 1<<20), 0o600))
	compressed, _ := archiveDir(t, dir)
	archivePath := filepath.Join(t.TempDir(), "fs.tgz")
	must(t, os.WriteFile(archivePath, compressed, 0o600))

	root := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(root, "opt/kept"), 0o755))
	script := `set -e
gzip -dc "$1" | tar -xf - --occurrence=1 -C "$2" var/lib/bakery/fs.dirs.sh
bakery_dir() { [ -e "$root$2" ] || mkdir -m "$1" -- "$root$2"; }
root=$2
. "$2/var/lib/bakery/fs.dirs.sh"`
	if said, err := exec.Command("dash", "-c", script, "sh", archivePath, root).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	for path, mode := range map[string]fs.FileMode{
		"srv/it's a\nname": 0o755, "srv/täglich": 0o700, "srv/täglich/-x": 0o755, "opt/kept": 0o755,
	} {
		info, err := os.Stat(filepath.Join(root, path))
		must(t, err)
		if info.Mode().Perm() != mode || !info.IsDir() {
			t.Errorf("%q is %v, want a directory with %v", path, info.Mode(), mode)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "large")); err == nil {
		t.Error("more than the manifest was unpacked")
	}
}

func TestTarDoesNotReplaceTheLinksOfTheMachine(t *testing.T) {
	compressed, _ := archiveDir(t, tree(t, "lib/module", "var/run/app.pid", "usr/bin/app"))
	root := tree(t, "usr/lib/", "run/", "lib -> usr/lib", "var/run -> ../run")
	cmd := exec.Command("tar", "-xzf", "-", "-C", root)
	cmd.Stdin = bytes.NewReader(compressed)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v\n%s", err, said)
	}
	got := contents(t, root)
	delete(got, "/"+ManifestName)
	want := map[string]string{
		"/lib": "-> usr/lib", "/usr/lib/module": "lib/module", "/run/app.pid": "var/run/app.pid",
		"/usr/bin/app": "usr/bin/app", "/var/run": "-> ../run",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("unpacked (-want +got):\n%s", diff)
	}
}

func TestTheSameTreeGivesTheSameBytes(t *testing.T) {
	names := append(unusualNames(), "b", "a/b", "a.b", "a-b")
	first := tree(t, names...)
	must(t, os.WriteFile(filepath.Join(first, "large"), bytes.Repeat([]byte("0123456789"), 400_000), 0o640))
	want, _ := archiveDir(t, first)

	copied := filepath.Join(t.TempDir(), "elsewhere")
	if said, err := exec.Command("cp", "-r", "--preserve=mode", first, copied).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, said)
	}
	must(t, os.Chmod(copied, 0o700))
	must(t, os.Chtimes(filepath.Join(copied, "b"), time.Now(), time.Now().AddDate(-3, 0, 0)))
	for _, processors := range []int{1, 2, 7} {
		before := runtime.GOMAXPROCS(processors)
		got, _ := archiveDir(t, copied)
		runtime.GOMAXPROCS(before)
		if !bytes.Equal(got, want) {
			t.Errorf("a copy gives other bytes with %d processors", processors)
		}
	}
}

func TestHardLinksBecomeFiles(t *testing.T) {
	dir := tree(t, "one")
	must(t, os.Link(filepath.Join(dir, "one"), filepath.Join(dir, "two")))
	compressed, _ := archiveDir(t, dir)
	got := entries(t, compressed)[1:]
	want := []entry{{"one", "", tar.TypeReg, 0o644, "one"}, {"two", "", tar.TypeReg, 0o644, "one"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func TestFilesThatCannotBeInAnImageAreRefused(t *testing.T) {
	cases := map[string]struct {
		make func(dir string) error
		want string
	}{
		"a link that leads out of the tree": {
			func(dir string) error { return os.Symlink("../../secret", filepath.Join(dir, "etc/link")) },
			`archive etc/link: the link leads out of the tree, to "../../secret"`,
		},
		"a link to the directory above": {
			func(dir string) error { return os.Symlink("..", filepath.Join(dir, "up")) },
			`archive up: the link leads out of the tree, to ".."`,
		},
		"a named pipe": {
			func(dir string) error { return syscall.Mkfifo(filepath.Join(dir, "etc/pipe"), 0o600) },
			"archive etc/pipe: it is a named pipe; only files, directories and links can be archived",
		},
		"a socket": {
			func(dir string) error { return syscall.Mknod(filepath.Join(dir, "socket"), syscall.S_IFSOCK|0o600, 0) },
			"archive socket: it is a socket; only files, directories and links can be archived",
		},
		"a file with the path of the manifest": {
			func(dir string) error {
				path := filepath.Join(dir, ManifestName)
				return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600))
			},
			"archive var/lib/bakery/fs.dirs.sh: the archive keeps its list of directories there; name the file " +
				"otherwise",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, "etc/")
			must(t, c.make(dir))
			var out bytes.Buffer
			_, err := Write(&out, dir, nil)
			if err == nil || err.Error() != c.want {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
}

// typed is a file of a kind that only root can make, or that does not exist on this system.
type typed struct {
	fs.FileInfo
	mode fs.FileMode
}

func (i typed) Mode() fs.FileMode { return i.mode }

func TestDevicesAndUnknownKindsAreRefused(t *testing.T) {
	for mode, want := range map[fs.FileMode]string{
		fs.ModeDevice | fs.ModeCharDevice: "it is a device; only files, directories and links can be archived",
		fs.ModeIrregular: "it is of a kind that is not known here (?---------); only files, " +
			"directories and links can be archived",
	} {
		if err := checkNode(node{path: "x", info: typed{mode: mode}}); err == nil || err.Error() != want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

func TestAMissingTreeIsNamedInTheError(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	_, err := Write(io.Discard, missing, nil)
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("got %v", err)
	}
}

// The test changes the file from a call of progress.
func TestFilesThatChangeWhileTheyAreReadAreNamedInTheError(t *testing.T) {
	cases := map[string]struct {
		change func(path string) error
		want   string
	}{
		"one that grows": {func(path string) error { return os.Truncate(path, 9<<20) },
			"it had 8388608 bytes and has 9437184 now"},
		"one that shrinks": {func(path string) error { return os.Truncate(path, 1<<20) },
			"it had 8388608 bytes and has 1048576 now"},
		"one that is written to": {
			func(path string) error { return os.Chtimes(path, time.Time{}, time.Unix(1, 0)) },
			"it changed while it was archived",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, "etc/log")
			path := filepath.Join(dir, "etc/log")
			must(t, os.Truncate(path, 8<<20))
			changed := false
			_, err := Write(io.Discard, dir, func(written int64) {
				if written > 1<<20 && !changed {
					changed = true
					must(t, c.change(path))
				}
			})
			if err == nil || !strings.HasPrefix(err.Error(), "archive etc/log: ") ||
				!strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAFileThatIsReplacedWhileTheTreeIsReadIsNamedInTheError(t *testing.T) {
	dir := tree(t, "a", "b")
	must(t, os.Truncate(filepath.Join(dir, "a"), 2<<20))
	replaced := false
	_, err := Write(io.Discard, dir, func(written int64) {
		if written > 1<<20 && !replaced {
			replaced = true
			must(t, os.Rename(filepath.Join(dir, "b"), filepath.Join(dir, "c")))
			must(t, os.WriteFile(filepath.Join(dir, "b"), []byte("b"), 0o644))
		}
	})
	if err == nil || err.Error() != "archive b: another file took its place while it was archived" {
		t.Errorf("got %v", err)
	}
}

func TestProgressEndsWithTheSizeOfTheTar(t *testing.T) {
	var last int64
	dir := tree(t, "a", "b")
	summary, err := Write(io.Discard, dir, func(written int64) {
		if written < last {
			t.Errorf("%d bytes after %d", written, last)
		}
		last = written
	})
	must(t, err)
	if last != summary.UncompressedSize {
		t.Errorf("progress ends with %d, the tar has %d bytes", last, summary.UncompressedSize)
	}
}

// full is a writer that accepts a number of bytes and then fails, as on a full disk.
type full int

func (f *full) Write(p []byte) (int, error) {
	if *f -= full(len(p)); *f < 0 {
		return 0, syscall.ENOSPC
	}
	return len(p), nil
}

func TestAFullDiskIsAnError(t *testing.T) {
	dir := tree(t, "large")
	must(t, os.Truncate(filepath.Join(dir, "large"), 20<<20))
	for _, room := range []full{0, 100, 5000} {
		if _, err := Write(&room, dir, nil); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("got %v", err)
		}
	}
}

// The test reads only the headers, not the 9 GiB of the sparse file.
func TestASizeOver8GiBFitsTheHeader(t *testing.T) {
	dir := tree(t, "huge")
	must(t, os.Truncate(filepath.Join(dir, "huge"), 9<<30))
	r, w := io.Pipe()
	stop := errors.New("seen enough")
	go func() {
		a := &archiver{tar: tar.NewWriter(w), buffer: make([]byte, copySize)}
		root, err := os.OpenRoot(dir)
		if err == nil {
			defer root.Close()
			err = a.write(root)
		}
		w.CloseWithError(err)
	}()
	reader := tar.NewReader(r)
	for _, name := range []string{ManifestName, "huge"} {
		header, err := reader.Next()
		must(t, err)
		if header.Name != name {
			t.Fatalf("got %s, want %s", header.Name, name)
		}
		if name == "huge" && header.Size != 9<<30 {
			t.Errorf("the size is %d", header.Size)
		}
	}
	r.CloseWithError(stop)
}

func FuzzArchive(f *testing.F) {
	f.Add("etc/app.conf", []byte("a=b\n"), uint32(0o644))
	f.Add("\xff\n '", []byte{}, uint32(0o4755))
	f.Fuzz(func(t *testing.T, name string, content []byte, mode uint32) {
		if !filepath.IsLocal(name) || strings.ContainsRune(name, 0) || name == "." || len(name) > 200 {
			return
		}
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		if os.WriteFile(path, content, 0o600) != nil {
			return // a name that ends in a slash or a dot
		}
		must(t, syscall.Chmod(path, mode&0o7777|0o400))
		compressed, _ := archiveDir(t, dir)
		got := entries(t, compressed)
		relative, _ := filepath.Rel(dir, path)
		want := entry{relative, "", tar.TypeReg, int64(mode&0o7777 | 0o400), string(content)}
		if diff := cmp.Diff(want, got[len(got)-1]); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
