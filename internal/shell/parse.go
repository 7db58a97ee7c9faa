// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package shell

import (
	"bytes"
	"runtime"

	"mvdan.cc/sh/v3/syntax"
)

// Parse parses a script, and returns its first fault, or nil. A script in which constructs are nested deeper than any
// real one has them has a fault: the parser recurses, and Go ends a program whose stack is too large.
func Parse(script []byte, lang syntax.LangVariant) (*syntax.File, *Fault) {
	file, err := syntax.NewParser(syntax.Variant(lang)).Parse(&shallowReader{script: script}, "")
	if err != nil {
		return nil, faultOf(script, err)
	}
	return file, nil
}

// A tooDeepError is returned for a script whose constructs are nested too deep.
type tooDeepError struct {
	line int // at which the parser was, about
}

func (e *tooDeepError) Error() string {
	return "constructs are nested deeper than can be checked: nest fewer of them"
}

const (
	// maxFrames is how many function calls a parser may be in: 6 to 12 for each of some hundred nested constructs.
	maxFrames = 4000
	// pieceSize is how many bytes are read at once. Between two reads, a parser can recurse that much deeper.
	pieceSize = 512
)

// shallowReader hands out a script in small pieces, and fails when it is read from too deep a recursion.
type shallowReader struct {
	script []byte
	at     int
}

// Read implements io.Reader.
func (r *shallowReader) Read(p []byte) (int, error) {
	if runtime.Callers(maxFrames, make([]uintptr, 1)) > 0 {
		return 0, &tooDeepError{line: 1 + bytes.Count(r.script[:r.at], []byte("\n"))}
	}
	n, err := bytes.NewReader(r.script[r.at:min(len(r.script), r.at+pieceSize)]).Read(p)
	r.at += n
	return n, err
}
