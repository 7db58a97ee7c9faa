// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

//go:build peer

// The tests with the real amazon-ebs, which takes minutes to compile, have a build tag and a make target.

package e2e

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// imagesPage lists what may differ between the two images of a template.
const imagesPage = "docs/amazon-ebs-images.md"

// TestPeerExample checks that the two templates of example/migrate bake the same image, but for what the manual lists.
func TestPeerExample(t *testing.T) {
	t.Parallel()
	l := sharedLab(t)
	onPeerGuests(t, func(t *testing.T, suite string) {
		before, after := l.bakeBoth(t, example("migrate/before.pkr.hcl"), example("migrate/after.pkr.hcl"),
			l.peerSettings(suite))
		l.comparable(t, before, after, "/etc/site/site.conf", "/srv/site/assets/site.css",
			"/etc/systemd/system/multi-user.target.wants/site.service")
		if left := l.leftovers(t); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

// onPeerGuests runs a test on every suite of -guests.
func onPeerGuests(t *testing.T, test func(t *testing.T, suite string)) {
	t.Helper()
	for suite := range strings.SplitSeq(*guests, ",") {
		t.Run(suite, func(t *testing.T) { test(t, suite) })
	}
}

// bakeBoth bakes with the real amazon-ebs over SSH and with this builder, beside each other, and returns the images.
func (l *lab) bakeBoth(t *testing.T, before, after string, settings []string) (theirs, ours string) {
	t.Helper()
	names, results := l.buildBoth(t, before, after, settings)
	ids := make([]string, 2)
	for i, r := range results {
		found := l.images(t, names[i])
		if r.Code != 0 || len(found) != 1 {
			t.Fatalf("%s: exit status %d, and these images: %v", names[i], r.Code, found)
		}
		ids[i] = found[0]
	}
	return ids[0], ids[1]
}

// buildBoth is bakeBoth for bakes that may fail. It returns the names of the images and packer's results.
func (l *lab) buildBoth(t *testing.T, before, after string, settings []string) (names []string,
	results []packertest.Result) {
	t.Helper()
	env := append(l.environ(t), packertest.Peer(t))
	names, results = []string{testName(t) + "-before", testName(t) + "-after"}, make([]packertest.Result, 2)
	var bakes sync.WaitGroup
	for i, template := range []string{before, after} {
		argv := []string{packertest.Built(t).Packer, "build", "-var", "ami_name=" + names[i]}
		for _, s := range settings {
			argv = append(argv, "-var", s)
		}
		bakes.Go(func() { results[i] = packertest.Run(t, filepath.Dir(template), env, append(argv, template)...) })
	}
	bakes.Wait()
	for i, r := range results {
		t.Logf("%s: exit status %d\n%s", names[i], r.Code, r.Output)
	}
	return names, results
}

// comparable fails the test for each path in which two images differ and which the manual does not list, and for what
// is in neither, since two empty images are equal as well.
func (l *lab) comparable(t *testing.T, before, after string, there ...string) {
	t.Helper()
	listed := listedPaths(t)
	r := packertest.Run(t, t.TempDir(), l.environ(t), packertest.Built(t).Lab, "diff", after, before)
	if r.Code > 1 {
		t.Fatalf("bakery-lab diff: exit status %d\n%s", r.Code, r.Output)
	}
	for line := range strings.Lines(r.Output) {
		if !covered(listed, differing(line)) && !isCompiledPython(line) {
			t.Errorf("%s does not list %s", imagesPage, line)
		}
	}
	for _, name := range there {
		if list := l.cli(t, "ls", after, name); list == "" {
			t.Errorf("%s is in neither image", name)
		}
	}
}

// isCompiledPython reports whether a line is of a file that Python has compiled, in both images: Python does not
// compile to the same bytes twice (https://github.com/python/cpython/issues/78274).
func isCompiledPython(line string) bool {
	return strings.HasPrefix(line, "~ ") && strings.HasSuffix(differing(line), ".pyc")
}

// differing is the path of a line of bakery-lab diff: "~ /etc/motd size 1 => 2", with quotes where it is not one word.
func differing(line string) string {
	if quoted, err := strconv.QuotedPrefix(line[2:]); err == nil {
		name, _ := strconv.Unquote(quoted)
		return name
	}
	name, _, _ := strings.Cut(line[2:], " ")
	return strings.TrimSpace(name)
}

// listedPaths are the patterns in the manual's table of paths.
func listedPaths(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(packertest.Root(), imagesPage))
	if err != nil {
		t.Fatal(err)
	}
	var patterns []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`/[^|]*) \\| ").FindAllStringSubmatch(string(text), -1) {
		for _, word := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row[1], -1) {
			patterns = append(patterns, word[1])
		}
	}
	if len(patterns) < 5 {
		t.Fatalf("%s lists %q", imagesPage, patterns)
	}
	return patterns
}

// covered reports whether a path matches one of the patterns, or is below one that ends in a slash.
func covered(patterns []string, name string) bool {
	for _, p := range patterns {
		if dir, ok := strings.CutSuffix(p, "/"); ok && (name == dir || strings.HasPrefix(name, p)) {
			return true
		}
		if ok, _ := path.Match(p, name); ok {
			return true
		}
	}
	return false
}
