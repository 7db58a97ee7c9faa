// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package packertest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// validateLimit is how much processor time packer validate may take, or take more than without any plugin: this is what
// runs before every commit. Processor time does not depend on what else the computer does.
const validateLimit = time.Second

// nullTemplate is a template that needs no plugin.
const nullTemplate = `
source "null" "n" {
  communicator = "none"
}
build {
  sources = ["source.null.n"]
}
`

// warning matches a warning of packer. Its text is in the first line for a template in HCL, and in the next line for
// one in JSON.
var warning = regexp.MustCompile(`(?m)^Warning: (?:Warning when preparing build: .*\n\n?)?(.*)$`)

// Validate runs packer validate in a folder, which must succeed within the limit, and returns the first line of each
// warning.
func Validate(tb testing.TB, dir string, env []string, arguments ...string) (warnings []string) {
	tb.Helper()

	took, warnings := validate(tb, dir, env, arguments)
	if took > validateLimit && !fastEnough(tb, dir, env, arguments) {
		tb.Errorf("packer validate %s takes %v", strings.Join(arguments, " "), took.Round(time.Millisecond))
	}

	return warnings
}

// ValidateTime returns the processor time that packer validate takes, which must succeed.
func ValidateTime(tb testing.TB, dir string, env []string, arguments ...string) time.Duration {
	tb.Helper()

	took, _ := validate(tb, dir, env, arguments)

	return took
}

// ValidatePeer is like Validate, without a time limit, for a template of another plugin.
func ValidatePeer(tb testing.TB, dir string, env []string, arguments ...string) (warnings []string) {
	tb.Helper()

	_, warnings = validate(tb, dir, env, arguments)

	return warnings
}

func validate(tb testing.TB, dir string, env, arguments []string) (took time.Duration, warnings []string) {
	tb.Helper()

	took, result := timed(tb, dir, env, arguments)
	if result.Code != 0 {
		tb.Fatalf("packer validate %s: exit code %d\n%s", strings.Join(arguments, " "), result.Code, result.Output)
	}
	for _, match := range warning.FindAllStringSubmatch(result.Output, -1) {
		warnings = append(warnings, match[1])
	}

	return took, warnings
}

// fastEnough compares the time with that of a template without plugins. In one of three attempts, the difference must
// be below the limit.
func fastEnough(tb testing.TB, dir string, env, arguments []string) bool {
	tb.Helper()

	empty := filepath.Join(tb.TempDir(), "null.pkr.hcl")
	if err := os.WriteFile(empty, []byte(nullTemplate), 0o600); err != nil {
		tb.Fatal(err)
	}
	for range 3 {
		without, _ := timed(tb, dir, env, []string{empty})
		with, _ := timed(tb, dir, env, arguments)
		if with-without < validateLimit {
			return true
		}
	}

	return false
}

func timed(tb testing.TB, dir string, env, arguments []string) (time.Duration, Result) {
	tb.Helper()

	var out bytes.Buffer
	cmd := exec.CommandContext(tb.Context(), Built(tb).Packer, append([]string{"validate"}, arguments...)...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, env, &out, &out
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		tb.Fatalf("start packer: %v", err)
	}
	ended := cmd.ProcessState // of packer and the plugins it has waited for

	return ended.UserTime() + ended.SystemTime(), Result{Code: ended.ExitCode(), Output: out.String()}
}
