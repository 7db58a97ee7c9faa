// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build unix

package imagesource

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/problem"
)

// numbered returns lines until they have so many bytes.
func numbered(format string, size int) string {
	var b strings.Builder
	for n := 0; b.Len() < size; n++ {
		fmt.Fprintf(&b, format, n)
	}
	return b.String()
}

// The names of hostile files, each with its content of about n bytes.
func hostileEnvs(n int) map[string]string {
	long := "A=" + strings.Repeat("x", 8000) + "\n"
	return map[string]string{
		"one value of many":      long + "B=" + strings.Repeat("$A", n/2) + "\n",
		"quoted":                 long + `B="` + strings.Repeat("${A}", n/4) + "\"\n",
		"a default":              long + "B=${C:-" + strings.Repeat("$A", n/2) + "}\n",
		"values of one":          long + numbered("B%d=$A\n", n),
		"patterns":               long + strings.Repeat("B=${A%%*x*x*x*x*y}\n", n/19),
		"a long pattern":         long + "B=${A%" + strings.Repeat("*x", n/2) + "}\n",
		"appended":               "A=x\n" + strings.Repeat("A+=x\n", n/5),
		"commands":               strings.Repeat("foo\n", n/4),
		"parameters in another":  "A=" + strings.Repeat("${A:-", n/6) + "\n",
		"commands in another":    "A=" + strings.Repeat("$(", n/2) + "\n",
		"subshells":              strings.Repeat("(", n),
		"a mistake far right":    strings.Repeat("A=1 ", n/4) + ")",
		"assignments in a line":  strings.Repeat("A=1;", n/4) + "\n",
		"assignments":            numbered("A%d=x\n", n),
		"one long value":         "A='" + strings.Repeat("x", n) + "'\n",
		"doubling":               "A=xxxxxxxx\n" + strings.Repeat("A=$A$A\n", n/7),
		"lines that are ignored": strings.Repeat("\n", n),
	}
}

// The limit is checked before values are computed: a file of a hundred kilobytes would need gigabytes.
func TestEnvAllocatesInProportionToItsSize(t *testing.T) {
	for name, content := range hostileEnvs(100_000) {
		t.Run(name, func(t *testing.T) {
			if got := allocated(func() { ParseEnv("ami.env", []byte(content)) }); got > 150<<20 {
				t.Errorf("%d bytes of ami.env allocate %d MiB", len(content), got>>20)
			}
		})
	}
}

// allocated returns how many bytes a function allocates, those that were freed meanwhile included.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestEnvRefusesWhatIsTooLarge(t *testing.T) {
	long := "A=" + strings.Repeat("x", 8000) + "\n"
	for content, want := range map[string]string{
		strings.Repeat("A=1\n", MaxEnv/4+1): "ami.env:131073: is larger than 512 KiB here: put large values into " +
			"files of fs/ or of cloudinit/",
		long + "\nB=$A$A\n": "ami.env:3:1: value of B is over 8192 bytes",
		long + "B=${A%" + strings.Repeat("?", 300) + "}\n": "ami.env:2:3: read the value of B: a pattern in ${...} " +
			"is too long",
		"A=1\nB=" + strings.Repeat("$(", 10_000): "ami.env:2:1: constructs are nested deeper than can be checked: " +
			"nest fewer of them",
		strings.Repeat("A=1 ", 20_000) + ")": "ami.env:1:80001: a command can only contain words and redirects; " +
			"encountered `)`",
	} {
		if _, problems := ParseEnv("ami.env", []byte(content)); len(problems) != 1 || problems[0].String() != want {
			t.Errorf("%.40q... has the problems %.200q, want %q", content, problems, want)
		}
	}
	if _, problems := ParseEnv("ami.env", []byte(strings.Repeat("foo\n", 1000))); len(problems) != maxProblems {
		t.Errorf("a thousand mistakes are %d problems", len(problems))
	}
}

func TestEnvLinesReadsLikeAFile(t *testing.T) {
	l := NewEnvLines("script/compile.sh")
	for _, step := range []struct {
		line string
		want bool
	}{
		{"A=1", true}, {"B=$A.2", true}, {"C=3 D=$(id)", false}, {"B=$C", false}, {"A=5 E=`id`", false},
		{"F=$B", true}, {"NAME=", false},
	} {
		if got, err := l.Add(step.line); got != step.want || err != nil {
			t.Errorf("%s: %t, %v", step.line, got, err)
		}
	}
	env := l.Env()
	got := fmt.Sprintln(env.Names, env.Vars["A"], env.Vars["B"], env.Vars["F"], len(env.Vars))
	if got != "[A B F] 1 1.2 1.2 3\n" {
		t.Errorf("the variables are %s", got)
	}
}

func BenchmarkParseEnv(b *testing.B) {
	for _, size := range []int{1 << 16, 1 << 17, 1 << 18} {
		content := []byte("A=" + strings.Repeat("x", 100) + "\n" + numbered("B%d=${A%%x}\n", size))
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			b.SetBytes(int64(len(content)))
			for b.Loop() {
				ParseEnv("ami.env", content)
			}
		})
	}
}

// What a message quotes of a file must be of the Image-Source itself, and nothing in it may hang the check.
func TestNothingButFilesIsRead(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "shadow")
	if err := os.WriteFile(secret, []byte("root:secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"cloudinit/60_a.cfg", "cloudinit/60_a.sh", "cloudinit/60_a.yml", "ami.env", "script/compile.sh",
		"script/install.sh", "readme.md", "README.md", "cloudinit", "script", "fs",
	} {
		for kind, put := range map[string]func(string) error{
			"link":                 func(path string) error { return os.Symlink(secret, path) },
			"link to a folder":     func(path string) error { return os.Symlink(filepath.Dir(secret), path) },
			"link into the source": func(path string) error { return os.Symlink("../fs/real", path) },
			"pipe":                 func(path string) error { return syscall.Mkfifo(path, 0o600) },
			"link to a pipe": func(path string) error {
				pipe := filepath.Join(t.TempDir(), "pipe")
				return errors.Join(syscall.Mkfifo(pipe, 0o600), os.Symlink(pipe, path))
			},
		} {
			dir := t.TempDir()
			for _, folder := range []string{"cloudinit", "script", "fs"} {
				if folder != name {
					if err := os.Mkdir(filepath.Join(dir, folder), 0o700); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := put(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			_, problems := Read(dir)
			refused := slices.ContainsFunc(problems.Errors(), func(p problem.Problem) bool {
				return strings.HasPrefix(p.String(), name+": is ")
			})
			if text := fmt.Sprint(problems); !refused || strings.Contains(text, "root:") {
				t.Errorf("a %s as %s: %s", kind, name, text)
			}
		}
	}
}

func TestSourceMayBeALink(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "real", "fs"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("real", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if _, problems := Read(filepath.Join(dir, "link")); len(problems) > 0 {
		t.Errorf("an Image-Source that a link leads to: %v", problems)
	}
}
