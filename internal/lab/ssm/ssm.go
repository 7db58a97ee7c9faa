// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package ssm is the Parameter Store of the lab: JSON 1.1, the actions that read and write
// parameters, and the public parameters that name the base images. Signatures and policies are the
// caller's business.
package ssm

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// Error is a refusal, with the code as SSM spells it.
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Store holds parameters; each region sees the same ones.
type Store struct {
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
	p, ok := s.parameters[plain(name)]
	if !ok {
		return "", &Error{"ParameterNotFound", "Parameter " + name + " not found."}
	}
	return p.value, nil
}

// plain takes a version (name:3) and a parameter's ARN off.
func plain(name string) string {
	if at := strings.Index(name, ":parameter/"); at > 0 && strings.HasPrefix(name, "arn:") {
		name = name[at+len(":parameter"):]
	}
	name, _, _ = strings.Cut(name, ":")
	return name
}

// request has the fields of every action here.
type request struct {
	Name, Value, Type, Path, NextToken string
	Names                              []string
	Overwrite, Recursive               bool
	MaxResults                         int
}

// Known says whether the lab has an action of this name.
func Known(action string) bool {
	return slices.Contains([]string{"GetParameter", "GetParameters", "GetParametersByPath", "PutParameter", "DeleteParameter"}, action)
}

// Do runs an action, the part of X-Amz-Target after "AmazonSSM.", and returns what to encode as JSON.
func (s *Store) Do(action, region string, body []byte) (any, error) {
	var r request
	if err := json.Unmarshal(body, &r); err != nil {
		return nil, &Error{"SerializationException", "The request is not valid JSON."}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch action {
	case "GetParameter":
		one, ok := s.describe(r.Name, region)
		if !ok {
			return nil, &Error{"ParameterNotFound", ""}
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
			return nil, &Error{"ParameterNotFound", ""}
		}
		delete(s.parameters, r.Name)
		return map[string]any{}, nil
	}
	return nil, &Error{"UnknownOperationException", ""}
}

func (s *Store) describe(name, region string) (map[string]any, bool) {
	p, ok := s.parameters[plain(name)]
	if !ok {
		return nil, false
	}
	arn := "arn:aws:ssm:" + region + "::parameter" + plain(name)
	return map[string]any{
		"Name": plain(name), "Type": p.kind, "Value": p.value, "Version": p.version, "ARN": arn, "DataType": "text",
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

func (s *Store) below(r request, region string) map[string]any {
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

func (s *Store) put(r request) (any, error) {
	if !parameterName.MatchString(r.Name) || len(r.Name) > 2048 || r.Value == "" {
		return nil, &Error{"ValidationException", fmt.Sprintf("Parameter name %q or its value is not valid.", r.Name)}
	}
	if strings.HasPrefix(strings.ToLower(r.Name), "/aws") {
		return nil, &Error{"AccessDeniedException", "No access to reserved parameter name: " + r.Name + "."}
	}
	if _, exists := s.parameters[r.Name]; exists && !r.Overwrite {
		return nil, &Error{"ParameterAlreadyExists", "The parameter already exists. To overwrite this value, set the overwrite option in the request to true."}
	}
	kind := r.Type
	if kind == "" {
		kind = "String"
	}
	return map[string]any{"Version": s.set(r.Name, r.Value, kind), "Tier": "Standard"}, nil
}

// Refusal is the JSON of an error.
func Refusal(err error) []byte {
	refused := &Error{"InternalServerError", err.Error()}
	errors.As(err, &refused)
	b, _ := json.Marshal(map[string]string{"__type": refused.Code, "message": refused.Message}) //nolint:errchkjson // strings only
	return b
}
