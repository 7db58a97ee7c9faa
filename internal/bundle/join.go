// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
)

// JoinPath is where the provisioner bakery-image-source uploads a [Join] when the builder is bakery-userdata. No
// machine ever has this file: the builder's recorder handles the upload itself.
const JoinPath = "/var/lib/bakery/image-source"

// Join asks the builder to compile an Image-Source into the bake it is part of.
type Join struct {
	Source        string            `json:"source"` // an absolute path
	CompileEnv    map[string]string `json:"compile_env,omitempty"`
	Strict        bool              `json:"strict,omitempty"`
	FSInlineLimit int64             `json:"fs_inline_limit,omitempty"` // as Options.InlineLimit
}

// Options returns the options to compile the Image-Source into the directory target.
func (j Join) Options(target string) Options {
	return Options{Source: j.Source, Target: target, InlineLimit: j.FSInlineLimit, Env: j.CompileEnv, Strict: j.Strict}
}

// Secrets returns the values of CompileEnv that must not be shown. Values of less than four bytes are left out: they
// would be found inside other words.
func (j Join) Secrets() []string {
	const least = 4
	var secrets []string
	for _, value := range j.CompileEnv {
		if len(value) >= least {
			secrets = append(secrets, value)
		}
	}
	return secrets
}

// Render returns the join as it is uploaded.
func (j Join) Render() []byte {
	text, err := json.Marshal(j)
	if err != nil {
		panic(err) // strings, a number and a boolean can always be encoded
	}
	return text
}

// ParseJoin parses an uploaded join.
func ParseJoin(content []byte) (Join, error) {
	var j Join
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields() // another version of the plugin may have sent settings that this one would ignore
	if err := decoder.Decode(&j); err != nil {
		return Join{}, fmt.Errorf("read what was uploaded to %s: %w; only the provisioner bakery-image-source of "+
			"this plugin may upload there", JoinPath, err)
	}
	if !filepath.IsAbs(j.Source) {
		return Join{}, errors.New("join an Image-Source: its source is not an absolute path")
	}
	return j, nil
}
