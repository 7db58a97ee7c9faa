// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/packertest"
)

// TestPreCommitHook runs the real pre-commit on a repository with a template and its Image-Source. The hook comes from
// a new repository with two files of this one, so nothing is downloaded.
func TestPreCommitHook(t *testing.T) {
	hooks, repo := t.TempDir(), t.TempDir()
	env := gitEnv(t)
	for _, name := range []string{".pre-commit-hooks.yaml", "tools/pre-commit-validate.sh"} {
		content, err := os.ReadFile(filepath.Join(packertest.Root(), name))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(hooks, name), string(content), 0o755)
	}
	run(t, hooks, env, "git", "init", "-q")
	run(t, hooks, env, "git", "add", ".")
	run(t, hooks, env, "git", "commit", "-q", "-m", "hooks")
	revision := strings.TrimSpace(run(t, hooks, env, "git", "rev-parse", "HEAD"))

	for name, content := range map[string]string{"image/ami.env": "NAME=a\nVERSION=1\n",
		"image/cloudinit/60_app.cfg": "#cloud-config\nruncmd: [a]\n"} {
		write(t, filepath.Join(repo, name), content, 0o644)
	}
	write(t, filepath.Join(repo, "app.pkr.hcl"), `
source "bakery-userdata" "app" {
  image_source = "${path.root}/image"
  source_ami   = "ami-086063d8c95bfa211"
  ami_name     = "app"
}
build {
  sources = ["source.bakery-userdata.app"]
}
`, 0o644)
	write(t, filepath.Join(repo, "unrelated.txt"), "x", 0o644)
	write(t, filepath.Join(repo, ".pre-commit-config.yaml"),
		"repos:\n  - repo: "+hooks+"\n    rev: "+revision+"\n    hooks:\n      - id: bakery-validate\n", 0o644)
	run(t, repo, env, "git", "init", "-q")
	run(t, repo, env, "git", "add", ".")

	if result := packertest.Run(t, repo, env, "pre-commit", "run"); result.Code != 0 ||
		!strings.Contains(result.Output, "Passed") {
		t.Fatalf("a good Image-Source: exit code %d\n%s", result.Code, result.Output)
	}
	run(t, repo, env, "git", "commit", "-q", "-m", "good")

	write(t, filepath.Join(repo, "unrelated.txt"), "y", 0o644)
	run(t, repo, env, "git", "add", ".")
	if result := packertest.Run(t, repo, env, "pre-commit", "run"); result.Code != 0 ||
		!strings.Contains(result.Output, "Skipped") {
		t.Errorf("a file that belongs to no template: exit code %d\n%s", result.Code, result.Output)
	}

	write(t, filepath.Join(repo, "image/cloudinit/60_app.cfg"), "#cloud-config\nruncmd: [a]\nruncmd: [b]\n", 0o644)
	run(t, repo, env, "git", "add", ".")
	result := packertest.Run(t, repo, env, "pre-commit", "run")
	if result.Code == 0 || !strings.Contains(result.Output, "cloudinit/60_app.cfg:3:1: ") {
		t.Errorf("a broken Image-Source: exit code %d\n%s", result.Code, result.Output)
	}
}

func TestThePreCommitHookFindsTheTemplatesOfAFile(t *testing.T) {
	tests := map[string]struct {
		changed, validated string
	}{
		"the template itself":                 {"a/one.pkr.hcl", "a"},
		"an Image-Source beside its template": {"a/image/cloudinit/60_app.cfg", "a"},
		"an Image-Source without a template":  {"sources/x/ami.env", "a b c d"},
		"several files of one folder":         {"a/image/ami.env a/one.pkr.hcl", "a"},
		"a template in JSON":                  {"c d/image/fs/etc/motd", "c d"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			repo, env := t.TempDir(), gitEnv(t)
			write(t, filepath.Join(repo, "a/one.pkr.hcl"), "", 0o644)
			write(t, filepath.Join(repo, "b/two.pkr.hcl"), "", 0o644)
			write(t, filepath.Join(repo, "c d/three.pkr.json"), "{}", 0o644)
			run(t, repo, env, "git", "init", "-q")
			run(t, repo, env, "git", "add", ".")
			stub := filepath.Join(t.TempDir(), "packer")
			write(t, stub, "#!/bin/sh\nprintf '%s\\n' \"$2\" >>'"+repo+"/asked'\n", 0o755)

			changed := strings.Fields(test.changed)
			if strings.HasPrefix(test.changed, "c d") {
				changed = []string{test.changed}
			}
			argv := append([]string{filepath.Join(packertest.Root(), "tools", "pre-commit-validate.sh")}, changed...)
			if result := packertest.Run(t, repo, append(env, "PACKER="+stub), argv...); result.Code != 0 {
				t.Fatalf("exit code %d\n%s", result.Code, result.Output)
			}
			asked, err := os.ReadFile(filepath.Join(repo, "asked"))
			if got := strings.Join(strings.Split(strings.TrimSpace(string(asked)), "\n"), " "); err != nil ||
				got != test.validated {
				t.Errorf("validated %q, want %q (%v)", got, test.validated, err)
			}
		})
	}
}

// gitEnv returns the environment of packertest.Env, without the settings for git and pre-commit of the person who runs
// the tests.
func gitEnv(t *testing.T) []string {
	t.Helper()

	return packertest.Env(t, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null",
		"PRE_COMMIT_HOME="+t.TempDir(),
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a",
		"GIT_COMMITTER_EMAIL=a@example.org")
}

// run runs a program, fails the test unless it succeeds, and returns its output.
func run(t *testing.T, dir string, env []string, argv ...string) string {
	t.Helper()

	result := packertest.Run(t, dir, env, argv...)
	if result.Code != 0 {
		t.Fatalf("%s: exit code %d\n%s", strings.Join(argv, " "), result.Code, result.Output)
	}

	return result.Output
}
