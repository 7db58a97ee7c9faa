// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
)

// numbered returns lines until they have so many bytes.
func numbered(format string, size int) string {
	var b strings.Builder
	for n := 0; b.Len() < size; n++ {
		fmt.Fprintf(&b, format, n)
	}
	return b.String()
}

// hostile are parts of about so many bytes.
var hostile = map[string]func(size int) string{
	"items":              func(n int) string { return "a:\n" + strings.Repeat("- a\n", n/4) },
	"a list in brackets": func(n int) string { return "a: [" + strings.Repeat("a,", n/2) + "]\n" },
	"lists in a list":    func(n int) string { return "a: [" + strings.Repeat("[],", n/3) + "]\n" },
	"brackets":           func(n int) string { return "a: " + strings.Repeat("[", n) + "\n" },
	"dashes":             func(n int) string { return "a:\n " + strings.Repeat("- ", n/2) + "\n" },
	"unknown keys":       func(n int) string { return numbered("pakages%d: 1\n", n) },
	"one key":            func(n int) string { return strings.Repeat("a: 1\n", n/5) },
	"escapes":            func(n int) string { return "a: \"" + strings.Repeat(`\n`, n/2) + "\"\n" },
	"a literal text":     func(n int) string { return "a: |\n" + strings.Repeat("  x\n", n/4) },
	"a plain text":       func(n int) string { return "a: x\n" + strings.Repeat("  x\n", n/4) },
	"anchors":            func(n int) string { return "a:\n" + numbered("- &a%d b\n", n) },
	"aliases of much": func(n int) string {
		return "x: &a " + strings.Repeat("y", n/2) + "\na:\n" + strings.Repeat("- *a\n", n/10)
	},
	"aliases of many": func(n int) string {
		return "x: &a [" + strings.Repeat("y,", n/4) + "]\na:\n" + strings.Repeat("- *a\n", n/10)
	},
	"merged keys": func(n int) string {
		return "x: &a {" + numbered("k%d: 1, ", n/2) + "}\ny:\n" + strings.Repeat("- <<: *a\n", n/18)
	},
	"comments":             func(n int) string { return strings.Repeat("#\n", n/2) + "a: b\n" },
	"a mistake at the end": func(n int) string { return "runcmd:\n" + strings.Repeat("- a\n", n/4) + "a\tb: c: ]" },
	"tabs":                 func(n int) string { return "a:\n" + strings.Repeat("\ta\n", n/3) },
	"documents":            func(n int) string { return "a: b\n" + strings.Repeat("---\n", n/4) },
	"commands":             func(n int) string { return "runcmd:\n" + strings.Repeat("- a\n", n/4) },
	"commands without end": func(n int) string { return "runcmd:\n" + strings.Repeat("- if\n", n/5) },
	"files":                func(n int) string { return "write_files:\n" + numbered("- {path: /a%d, mode: 1}\n", n) },
	"empty lines":          func(n int) string { return strings.Repeat("\n", n) },
}

// The limits are checked before the parser makes a tree, which takes hundreds of bytes for each value.
func TestPartsAllocateInProportionToTheirSize(t *testing.T) {
	for name, part := range hostile {
		t.Run(name, func(t *testing.T) {
			content := []byte("#cloud-config\n" + part(2<<20-100))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, problems := Parse("part", content)
			runtime.ReadMemStats(&after)
			if got := (after.TotalAlloc - before.TotalAlloc) >> 20; got > 400 {
				t.Errorf("2 MiB allocate %d MiB", got)
			}
			if len(problems) > 0 && problems[0].Line == 0 {
				t.Errorf("a problem has no line: %v", problems[0])
			}
		})
	}
}

func TestPartsThatAreTooLargeAreRefused(t *testing.T) {
	for content, want := range map[string]string{
		"#cloud-config\n" + strings.Repeat("#\n", 1<<20): "part:1048571: the part is larger than 2 MiB here: put " +
			"large files into fs/, or have a \"#!\" part make them",
		"#cloud-config\na:\n" + strings.Repeat("- a\n", maxSeparators): "part:100002: the part may have more than " +
			"100000 values up to here: put large files into fs/, or have a \"#!\" part make them",
	} {
		_, problems := Parse("part", []byte(content))
		if len(problems) != 1 || strings.Replace(problems[0].String(), ":1: ", ": ", 1) != want {
			t.Errorf("the problems are %.300v, want %s", problems, want)
		}
		_, problems = ParseArchive("part", []byte(content))
		if len(problems) != 1 || strings.Replace(problems[0].String(), ":1: ", ": ", 1) != want {
			t.Errorf("the problems of an archive are %.300v, want %s", problems, want)
		}
	}
}

// The time for a part grows with its size: compare the figures of the sizes.
func BenchmarkParse(b *testing.B) {
	for name, part := range hostile {
		for _, size := range []int{1 << 16, 1 << 17, 1 << 18} {
			content := []byte("#cloud-config\n" + part(size))
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.SetBytes(int64(size))
				for b.Loop() {
					Parse("part", content)
				}
			})
		}
	}
}
