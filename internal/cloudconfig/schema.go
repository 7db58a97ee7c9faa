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

// The schema of cloud-init 25.1.4; NOTICE names its source. Its findings are only warnings, as in cloud-init itself,
// and because base images have other versions. A top-level key that no version knows is an error.
//
//go:embed schema-cloud-config-v1.json
var schemaJSON []byte

// compiledSchema returns the compiled schema of cloud-init, and its top-level keys.
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
		return // no error: Validate returns no other type
	}
	for _, leaf := range findings(invalid) {
		p.finding(root, leaf, keys)
	}
}

// finding reports one error of the schema at the node it is about.
func (p *part) finding(root *yaml.Node, leaf *jsonschema.ValidationError, keys []string) {
	node := find(root, leaf.InstanceLocation)
	if extra, ok := leaf.ErrorKind.(*kind.AdditionalProperties); ok {
		p.unknownKeys(node, location(leaf.InstanceLocation), extra.Properties, keys)
		return
	}
	if !p.reported(node) {
		p.warnAt(node, "%s: %s", location(leaf.InstanceLocation), describeError(leaf.ErrorKind))
	}
}

// unknownKeys reports the keys of a mapping that the schema does not know; where is the mapping, "" at the top.
func (p *part) unknownKeys(mapping *yaml.Node, where string, unknown, keys []string) {
	names := make(map[string]bool, len(unknown))
	for _, name := range unknown {
		names[name] = true
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		switch key := mapping.Content[i]; {
		case !names[key.Value]:
		case where != "":
			p.warnAt(key, "%s has no key %q that cloud-init knows", where, shorten(key.Value))
		default:
			p.unknownKey(key, keys)
		}
	}
}

// describeError returns the message for an error of the schema.
func describeError(what jsonschema.ErrorKind) string {
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

func didYouMean(name string, keys []string) string {
	if nearest := problem.Nearest(name, keys); nearest != "" {
		return fmt.Sprintf(": did you mean %q?", nearest)
	}
	return ""
}

// findings returns the errors to show. When a value may have one of several forms, these are the errors of the form
// that the author most likely meant: the one whose errors are deepest.
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
		return deepestBranch(branches)
	}
	return slices.Concat(branches...)
}

// deepestBranch returns the branch whose errors are deepest. If no branch had the right type, it returns one error with
// all types.
func deepestBranch(branches [][]*jsonschema.ValidationError) []*jsonschema.ValidationError {
	best := slices.MaxFunc(branches, func(a, b [](*jsonschema.ValidationError)) int {
		return progress(a) -
			progress(b)
	})
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

// progress returns how deep into the value a branch of the schema matched. A wrong type does not count for its level.
func progress(branch []*jsonschema.ValidationError) int {
	deepest := 0
	for _, err := range branch {
		depth := 2 * len(err.InstanceLocation)
		if _, mismatch := err.ErrorKind.(*kind.Type); !mismatch {
			depth++
		}
		deepest = max(deepest, depth)
	}
	return deepest
}

// location formats the path of a value as authors write it: "write_files[0].permissions".
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

// find returns the node at a path, or the nearest one above it.
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

// plain converts a node to the Go values that the schema validates.
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
		return json.Number("0.5") // the schema checks only the type of a float
	default:
		return n.Value
	}
}

// number returns an integer of YAML 1.1: decimal, 0octal, 0x, 0b. For other forms (1:30 is 90), the schema needs only
// the type.
func number(text string) any {
	n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 0, 64)
	if err != nil {
		return 1
	}
	return n
}
