// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/imagesource"
)

const (
	compilePath = "script/compile.sh"
	// tailLines is how many lines of output are shown when compile.sh fails.
	tailLines = 40
	// gracePeriod is how long compile.sh may take to clean up after SIGTERM.
	gracePeriod = 5 * time.Second
)

// runScript runs script/compile.sh in the work folder and returns the assignments it printed.
func runScript(ctx context.Context, o Options, script *imagesource.ScriptFile, work string) (imagesource.Env, error) {
	out := newScriptOutput(o.Output)
	cmd := exec.CommandContext(ctx, "sh", scriptArguments(script.Content)...)
	cmd.Dir = work
	cmd.Env = scriptEnvironment(os.Environ(), o.Env)
	stdout, stderr := &lineWriter{line: out.stdout}, &lineWriter{line: out.stderr}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = gracePeriod
	prepareGroup(cmd)

	err := cmd.Run()
	endGroup(cmd)
	stdout.flush()
	stderr.flush()
	if ctx.Err() != nil {
		return imagesource.Env{}, fmt.Errorf("run %s: %w", compilePath, context.Cause(ctx))
	}
	// ErrWaitDelay: compile.sh itself succeeded, but a background process kept its output open. It has been killed.
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return imagesource.Env{}, fmt.Errorf("run %s: %s%s", compilePath, describeExit(err), out.ending())
	}
	if out.tooLarge != nil {
		return imagesource.Env{}, fmt.Errorf("run %s: %w", compilePath, out.tooLarge)
	}
	return out.vars.Env(), nil
}

// scriptArguments returns arguments with which sh starts the script by its own #! line. To execute the file itself, the
// temporary directory would have to allow it. The umask is set so that the results do not depend on the user.
func scriptArguments(content []byte) []string {
	interpreter := []string{"sh"}
	if first, _, _ := bytes.Cut(content, []byte("\n")); bytes.HasPrefix(first, []byte("#!")) {
		// As Linux does: an interpreter, and at most one argument.
		name, argument, _ := strings.Cut(strings.TrimSpace(string(first[2:])), " ")
		interpreter = []string{name}
		if argument = strings.TrimSpace(argument); argument != "" {
			interpreter = append(interpreter, argument)
		}
	}
	return slices.Concat([]string{"-c", `umask 022; exec "$@"`, "compile"}, interpreter, []string{"./" + compilePath})
}

// scriptEnvironment returns the environment of this process, without the variables that the original compile script
// used, and with those to add.
func scriptEnvironment(environ []string, add map[string]string) []string {
	env := slices.DeleteFunc(slices.Clone(environ), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return name == "SRC" || name == "TARGET" || name == "WORK"
	})
	for _, name := range slices.Sorted(maps.Keys(add)) {
		env = append(env, name+"="+add[name])
	}
	return env
}

func describeExit(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return fmt.Sprintf("it failed with exit code %d", exit.ExitCode())
	}
	return err.Error()
}
