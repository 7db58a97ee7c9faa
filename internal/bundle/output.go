// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"github.com/amibakery/packer-plugin-bakery/internal/imagesource"
	"github.com/amibakery/packer-plugin-bakery/internal/shell"
)

// scriptOutput handles the output of compile.sh: assignments on its standard output go to vars.env, everything else is
// shown. Its methods may be called from several goroutines.
type scriptOutput struct {
	show func(line string)

	mu       sync.Mutex
	vars     *imagesource.EnvLines // the assignments so far, which later ones may refer to
	tooLarge error                 // why no more assignments are read
	out      tail
	err      tail
}

func newScriptOutput(show func(line string)) *scriptOutput {
	return &scriptOutput{show: show, vars: imagesource.NewEnvLines(compilePath)}
}

func (o *scriptOutput) stdout(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.out.add(line)
	if !o.assign(line) && o.show != nil {
		o.show(line)
	}
}

func (o *scriptOutput) stderr(line string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.err.add(line)
	if o.show != nil {
		o.show(line)
	}
}

// assign stores the line when it is an assignment in the format of ami.env, and reports whether it is.
func (o *scriptOutput) assign(line string) bool {
	name, _, ok := strings.Cut(line, "=")
	if !ok || !shell.IsVariableName(name) {
		return false
	}
	if o.tooLarge != nil {
		return true
	}
	ok, o.tooLarge = o.vars.Add(line)
	return ok || o.tooLarge != nil
}

// ending returns the end of the output for an error message: first that of the standard output, then that of the error
// output, which usually contains the reason. It is not known how the two were mixed, so each gets half of the lines, or
// more when the other has fewer.
func (o *scriptOutput) ending() string {
	errLines := min(len(o.err), max(tailLines/2, tailLines-len(o.out)))
	outLines := min(len(o.out), tailLines-errLines)
	lines := slices.Concat(o.out[len(o.out)-outLines:], o.err[len(o.err)-errLines:])
	if len(lines) == 0 {
		return "; it printed nothing"
	}
	return "; its output ended with\n  " + strings.Join(lines, "\n  ")
}

// tail is the last lines of an output.
type tail []string

func (t *tail) add(line string) {
	*t = append(*t, line)
	*t = (*t)[max(0, len(*t)-tailLines):]
}

// lineWriter calls line with each line written to it, without its ending.
type lineWriter struct {
	line func(string)
	rest []byte
}

// maxLine bounds the memory for the output of a program that prints no line breaks.
const maxLine = 64 << 10

func (w *lineWriter) Write(p []byte) (int, error) {
	w.rest = append(w.rest, p...)
	for {
		end := bytes.IndexByte(w.rest, '\n')
		if end < 0 && len(w.rest) < maxLine {
			return len(p), nil
		}
		if end < 0 {
			end = maxLine
		}
		w.line(strings.TrimSuffix(string(w.rest[:end]), "\r"))
		w.rest = bytes.TrimPrefix(w.rest[end:], []byte("\n"))
	}
}

// flush passes on a last line that has no ending.
func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.line(string(w.rest))
		w.rest = nil
	}
}
