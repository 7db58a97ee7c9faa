// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package model_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/ec2"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iamapi"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/model"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/model/botocore"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/s3"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/ssm"
)

var update = flag.Bool("update", false, "write the tables, of the newest models of botocore here")

// served are the actions that the lab serves, by service.
func served() map[string][]string {
	return map[string][]string{
		"ec2": ec2.Actions(), "iam": iamapi.Actions(), "s3": s3.Actions(), "ssm": ssm.Actions(),
		"sts": {"AssumeRole", "DecodeAuthorizationMessage", "GetCallerIdentity"},
	}
}

func TestEveryActionIsInItsTable(t *testing.T) {
	for service, actions := range served() {
		table, err := model.Load(service)
		if err != nil {
			t.Fatal(err)
		}
		for _, action := range actions {
			if _, ok := table.Operations[action]; !ok && !*update {
				t.Errorf("%s.json has no %s: run tools/lab-models.sh --update", service, action)
			}
		}
	}
}

// The tables are those that botocore's models make, where there is a botocore of the same version.
func TestTablesAreThoseOfBotocore(t *testing.T) {
	dirs := models(t)
	for service, actions := range served() {
		old, err := model.Load(service)
		if err != nil && !*update {
			t.Fatal(err)
		}
		if old != nil {
			actions = append(actions, slices.Collect(maps.Keys(old.Operations))...)
		}
		dir := dirs[len(dirs)-1]
		if !*update && botocore.Version(dir) != old.Botocore {
			continue
		}
		made := table(t, dir, service, actions)
		if *update {
			if err := os.WriteFile(service+".json", made, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		have, err := os.ReadFile(service + ".json")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(have), string(made)); diff != "" {
			t.Errorf("%s.json is not what botocore %s says; run tools/lab-models.sh --update:\n%s", service,
				old.Botocore, diff)
		}
	}
}

// models returns the folders with models, the newest last.
func models(t *testing.T) []string {
	t.Helper()
	dirs := botocore.Dirs()
	if len(dirs) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no botocore here: make setup installs awscli")
		}
		t.Skip("there is no botocore here: make setup installs awscli")
	}
	slices.SortStableFunc(dirs, func(a, b string) int {
		if botocore.Newer(botocore.Version(a), botocore.Version(b)) {
			return 1
		}
		return -1
	})
	return dirs
}

// table returns a table of some actions, with one line for each action and each shape.
func table(t *testing.T, dir, service string, actions []string) []byte {
	t.Helper()
	m, err := botocore.Read(dir, service)
	if err != nil {
		t.Fatal(err)
	}
	g := &generator{model: m, shapes: map[string]*model.Shape{}}
	operations := map[string]model.Operation{}
	for _, action := range actions {
		o, ok := m.Operations[action]
		if !ok {
			t.Fatalf("botocore %s has no %s of %s: name a newer one with BOTOCORE_DATA", botocore.Version(dir), action,
				service)
		}
		one := model.Operation{Filters: m.Filters(action)}
		if o.Input.Shape != "" {
			one.Input = g.add(o.Input.Shape)
		}
		operations[action] = one
	}
	var b bytes.Buffer
	b.WriteString("{\"botocore\": " + quoted(botocore.Version(dir)) + ",\n\"operations\": {")
	lines(&b, operations)
	b.WriteString("},\n\"shapes\": {")
	lines(&b, g.shapes)
	b.WriteString("}}\n")
	return b.Bytes()
}

func lines[T any](b *bytes.Buffer, all map[string]T) {
	for i, name := range slices.Sorted(maps.Keys(all)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n" + quoted(name) + ": " + quoted(all[name]))
	}
}

func quoted(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) //nolint:errchkjson // strings, numbers and maps of them: it cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}

type generator struct {
	model  *botocore.Model
	shapes map[string]*model.Shape
}

// add adds a shape and those it refers to. It returns its name: of a type without constraints, that of the type.
func (g *generator) add(name string) string {
	from := g.model.Shapes[name]
	to := &model.Shape{Type: from.Type, Pattern: from.Pattern, Min: from.Min, Max: from.Max, Enum: from.Enum}
	if name == "InstanceType" {
		to.Enum = nil // of more than a thousand the lab has a few, and refuses the others itself
	}
	simple := from.Type != "structure" && from.Type != "list" && from.Type != "map"
	if simple && to.Pattern == "" && to.Min == nil && to.Max == nil && to.Enum == nil {
		return from.Type
	}
	if g.shapes[name] != nil {
		return name
	}
	g.shapes[name] = to
	switch {
	case from.Type == "list":
		to.Member = g.add(from.Member.Shape)
	case from.Type == "map":
		to.Member = g.add(from.Value.Shape)
	case from.Type == "structure":
		to.Members = map[string]string{}
		for member, m := range from.Members {
			if wire := m.NameIn(g.model.Metadata.Protocol, member); wire != "" {
				to.Members[wire] = g.add(m.Shape)
			}
		}
		for _, member := range from.Required {
			if wire := from.Members[member].NameIn(g.model.Metadata.Protocol, member); wire != "" {
				to.Required = append(to.Required, wire)
			}
		}
		slices.Sort(to.Required)
	}
	return name
}
