// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package ssm is the Parameter Store of AWS Systems Manager in the lab: the actions that read and write parameters, and
// the public parameters that hold the ids of the base images. It may not know signatures or policies; the caller has
// checked both.
package ssm

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// Store holds parameters; each region sees the same ones.
type Store struct {
	Account string

	mu         sync.Mutex
	parameters map[string]parameter
}

type parameter struct {
	value, kind string
	version     int64
	modified    time.Time
}

// Seed sets a parameter that AWS publishes.
func (s *Store) Seed(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(name, value, "String")
}

func (s *Store) set(name, value, kind string) int64 {
	if s.parameters == nil {
		s.parameters = map[string]parameter{}
	}
	version := s.parameters[name].version + 1
	s.parameters[name] = parameter{value, kind, version, time.Now().UTC()}
	return version
}

// Value is a parameter's value; a *Error with code ParameterNotFound when there is none.
func (s *Store) Value(name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.parameters[withoutVersion(name)]
	if !ok {
		return "", apierror.New("ParameterNotFound", "Parameter "+name+" not found.")
	}
	return p.value, nil
}

// withoutVersion returns the name of a parameter from its ARN or from a name with a version (name:3).
func withoutVersion(name string) string {
	if at := strings.Index(name, ":parameter/"); at > 0 && strings.HasPrefix(name, "arn:") {
		name = name[at+len(":parameter"):]
	}
	name, _, _ = strings.Cut(name, ":")
	return name
}

// do runs an action and returns what to encode as JSON.
func (s *Store) do(action, region string, r input) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch action {
	case "GetParameter":
		one, ok := s.describe(r.Name, region)
		if !ok {
			return nil, apierror.New("ParameterNotFound", "")
		}
		return map[string]any{"Parameter": one}, nil
	case "GetParameters":
		return s.several(r.Names, region), nil
	case "GetParametersByPath":
		return s.below(r, region), nil
	case "PutParameter":
		return s.put(r)
	case "DeleteParameter":
		if _, ok := s.parameters[r.Name]; !ok {
			return nil, apierror.New("ParameterNotFound", "")
		}
		delete(s.parameters, r.Name)
		return map[string]any{}, nil
	}
	return nil, apierror.New("UnknownOperationException", "")
}

func (s *Store) describe(name, region string) (map[string]any, bool) {
	p, ok := s.parameters[withoutVersion(name)]
	if !ok {
		return nil, false
	}
	arn := "arn:aws:ssm:" + region + "::parameter" + withoutVersion(name)
	return map[string]any{
		"Name": withoutVersion(name), "Type": p.kind, "Value": p.value, "Version": p.version, "ARN": arn,
		"DataType":         "text",
		"LastModifiedDate": float64(p.modified.UnixMilli()) / 1000,
	}, true
}

func (s *Store) several(names []string, region string) map[string]any {
	found, missing := []any{}, []string{}
	for _, n := range names {
		if one, ok := s.describe(n, region); ok {
			found = append(found, one)
		} else {
			missing = append(missing, n)
		}
	}
	return map[string]any{"Parameters": found, "InvalidParameters": missing}
}

func (s *Store) below(r input, region string) map[string]any {
	prefix, found := strings.TrimSuffix(r.Path, "/")+"/", []any{}
	for _, name := range slices.Sorted(maps.Keys(s.parameters)) {
		rest, ok := strings.CutPrefix(name, prefix)
		if ok && (r.Recursive || !strings.Contains(rest, "/")) {
			one, _ := s.describe(name, region)
			found = append(found, one)
		}
	}
	return map[string]any{"Parameters": found}
}

var parameterName = regexp.MustCompile(`^[a-zA-Z0-9_.\-/]+$`)

func (s *Store) put(r input) (any, error) {
	if !parameterName.MatchString(r.Name) || len(r.Name) > 2048 || r.Value == "" {
		return nil, apierror.New("ValidationException",
			fmt.Sprintf("Parameter name %q or its value is not valid.", r.Name))
	}
	if strings.HasPrefix(strings.ToLower(r.Name), "/aws") {
		return nil, apierror.New("AccessDeniedException", "No access to reserved parameter name: "+r.Name+".")
	}
	if _, exists := s.parameters[r.Name]; exists && !r.Overwrite {
		return nil, apierror.New("ParameterAlreadyExists",
			"The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
	}
	kind := r.Type
	if kind == "" {
		kind = "String"
	}
	return map[string]any{"Version": s.set(r.Name, r.Value, kind), "Tier": "Standard"}, nil
}
