// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloudconfig

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v3"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/amibakery/packer-plugin-bakery/internal/problem"
)

// Of cloud-init 25.1.4; NOTICE says where it is from. Base images carry other versions, and cloud-init itself only warns
// where its schema does not hold, so what it finds are warnings here too.
//
//go:embed schema-cloud-config-v1.json
var schemaJSON []byte

// compiledSchema is cloud-init's, compiled once, and the top-level keys it knows.
var compiledSchema = sync.OnceValues(func() (*jsonschema.Schema, []string) {
	source, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaJSON))
	if err != nil {
		panic(fmt.Sprintf("read the embedded cloud-config schema: %v", err))
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("cloud-config.json", source); err != nil {
		panic(fmt.Sprintf("add the embedded cloud-config schema: %v", err))
	}
	compiled := compiler.MustCompile("cloud-config.json")
	return compiled, slices.Sorted(maps.Keys(compiled.Properties))
})

// schema reports what cloud-init's own schema finds, as warnings.
func (p *part) schema(root *yaml.Node) {
	compiled, keys := compiledSchema()
	invalid, ok := errors.AsType[*jsonschema.ValidationError](compiled.Validate(plain(root)))
	if !ok {
		return // the schema holds: it has no other errors
	}
	for _, leaf := range findings(invalid) {
		p.finding(root, leaf, keys)
	}
}

// finding reports one error of the schema at the node it is about.
func (p *part) finding(root *yaml.Node, leaf *jsonschema.ValidationError, keys []string) {
	node := find(root, leaf.InstanceLocation)
	if extra, ok := leaf.ErrorKind.(*kind.AdditionalProperties); ok {
		for _, name := range extra.Properties {
			key, _ := entry(node, name)
			switch where := location(leaf.InstanceLocation); {
			case key == nil:
			case where != "":
				p.warnAt(key, "%s has no key %q that cloud-init knows", where, shorten(name))
			default:
				p.warnAt(key, "unknown key %q, which cloud-init would ignore%s", shorten(name), meant(name, keys))
			}
		}
		return
	}
	if !p.reported(node) {
		p.warnAt(node, "%s: %s", location(leaf.InstanceLocation), say(leaf.ErrorKind))
	}
}

// say words an error of the schema.
func say(what jsonschema.ErrorKind) string {
	text := what.LocalizedString(english)
	switch what := what.(type) {
	case *kind.OneOf:
		return "not exactly one of the forms cloud-init knows"
	case *kind.Type:
		if slices.Contains(what.Want, "string") && (what.Got == "number" || what.Got == "boolean") {
			return text + ": quote it"
		}
	}
	return text
}

var english = message.NewPrinter(language.English)

func meant(name string, keys []string) string {
	if nearest := problem.Nearest(name, keys); nearest != "" {
		return fmt.Sprintf(": did you mean %q?", nearest)
	}
	return ""
}

// findings gives the errors worth showing. Where a value may be one of several things, it is what the author was most
// likely writing: the branch in which the mistake lies deepest.
func findings(err *jsonschema.ValidationError) []*jsonschema.ValidationError {
	if len(err.Causes) == 0 {
		return []*jsonschema.ValidationError{err}
	}
	var branches [][]*jsonschema.ValidationError
	for _, cause := range err.Causes {
		branches = append(branches, findings(cause))
	}
	switch err.ErrorKind.(type) {
	case *kind.OneOf, *kind.AnyOf:
		return furthest(branches)
	}
	return slices.Concat(branches...)
}

// furthest picks the branch whose errors lie deepest. If no branch even had the right type, the types are joined.
func furthest(branches [][]*jsonschema.ValidationError) []*jsonschema.ValidationError {
	best := slices.MaxFunc(branches, func(a, b [](*jsonschema.ValidationError)) int { return progress(a) - progress(b) })
	mismatch, ok := best[0].ErrorKind.(*kind.Type)
	if !ok || len(best) > 1 {
		return best
	}
	joined := &kind.Type{Got: mismatch.Got}
	for _, branch := range branches {
		if other, ok := branch[0].ErrorKind.(*kind.Type); ok && progress(branch) == progress(best) {
			joined.Want = append(joined.Want, other.Want...)
		}
	}
	slices.Sort(joined.Want)
	joined.Want = slices.Compact(joined.Want)
	return []*jsonschema.ValidationError{{InstanceLocation: best[0].InstanceLocation, ErrorKind: joined}}
}

// progress is how far into the value a branch of the schema came. A mismatch of the type is no progress at its level.
func progress(branch []*jsonschema.ValidationError) int {
	furthest := 0
	for _, err := range branch {
		depth := 2 * len(err.InstanceLocation)
		if _, mismatch := err.ErrorKind.(*kind.Type); !mismatch {
			depth++
		}
		furthest = max(furthest, depth)
	}
	return furthest
}

// location writes a place as its author would: "write_files[0].permissions".
func location(path []string) string {
	var b strings.Builder
	for _, step := range path {
		if _, err := strconv.Atoi(step); err == nil {
			fmt.Fprintf(&b, "[%s]", step)
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		b.WriteString(shorten(step))
	}
	return b.String()
}

// find gives the node at a place, or the nearest one above it.
func find(n *yaml.Node, path []string) *yaml.Node {
	for _, step := range path {
		next := n
		if n.Kind == yaml.SequenceNode {
			if i, err := strconv.Atoi(step); err == nil && i < len(n.Content) {
				next = n.Content[i]
			}
		} else if _, value := entry(n, step); value != nil {
			next = value
		}
		n = next
	}
	return n
}

// plain gives a node as the data the schema is about.
func plain(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			m[n.Content[i].Value] = plain(n.Content[i+1])
		}
		return m
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			list[i] = plain(item)
		}
		return list
	}
	switch typeOf(n) {
	case tagNull:
		return nil
	case tagBool:
		return isTrue(n)
	case tagInt:
		return number(n.Value)
	case tagFloat:
		return json.Number("0.5") // the schema asks a float for nothing but its type
	default:
		return n.Value
	}
}

// number gives an integer of YAML 1.1: decimal, 0octal, 0x, 0b. Of the rest (1:30 is 90) the schema needs only the type.
func number(text string) any {
	n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 0, 64)
	if err != nil {
		return 1
	}
	return n
}
