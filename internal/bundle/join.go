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

// JoinPath is where the provisioner bakery-image-source uploads a [Join] when the builder is bakery-userdata. No machine
// ever has a file there: the builder's recorder takes it out of what is uploaded.
const JoinPath = "/var/lib/bakery/image-source"

// Join asks the builder to compile an Image-Source into the bake it is part of.
type Join struct {
	Source        string            `json:"source"` // an absolute path
	CompileEnv    map[string]string `json:"compile_env,omitempty"`
	Strict        bool              `json:"strict,omitempty"`
	FSInlineLimit int64             `json:"fs_inline_limit,omitempty"` // as Options.InlineLimit
}

// Options say how to compile what is joined into the directory target.
func (j Join) Options(target string) Options {
	return Options{Source: j.Source, Target: target, InlineLimit: j.FSInlineLimit, Env: j.CompileEnv, Strict: j.Strict}
}

// Render writes a join as it is uploaded.
func (j Join) Render() []byte {
	text, err := json.Marshal(j)
	if err != nil {
		panic(err) // texts, a number and a truth value
	}
	return text
}

// ParseJoin reads what was uploaded.
func ParseJoin(content []byte) (Join, error) {
	var j Join
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.DisallowUnknownFields() // of another version of the plugin, perhaps: what it says would not be done
	if err := decoder.Decode(&j); err != nil {
		return Join{}, fmt.Errorf("read what was uploaded to %s: %w; only the provisioner bakery-image-source of this plugin may upload there", JoinPath, err)
	}
	if !filepath.IsAbs(j.Source) {
		return Join{}, errors.New("join an Image-Source: its source is not an absolute path")
	}
	return j, nil
}
