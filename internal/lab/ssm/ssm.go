// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package ssm is the Parameter Store of AWS Systems Manager in the lab: the actions that read and write parameters, and
// the public parameters that hold the ids of the base images. It may not know signatures or policies; the caller has
// checked both.
package ssm

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// Store holds parameters; each region sees the same ones.
type Store struct {
	Account string

	mu         sync.Mutex
	parameters map[string][]version // the versions of each parameter, oldest first
}

// version is one version of a parameter; its number is its place in the list, from 1.
type version struct {
	value, kind, dataType string
	modified              time.Time
}

// Seed sets a parameter that AWS publishes, unless there is one with this name.
func (s *Store) Seed(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.parameters[name]) > 0 {
		return
	}
	s.set(name, version{value: value, kind: "String", dataType: "text"})
}

// set adds a version and returns its number.
func (s *Store) set(name string, v version) int {
	if s.parameters == nil {
		s.parameters = map[string][]version{}
	}
	v.modified = time.Now().UTC()
	s.parameters[name] = append(s.parameters[name], v)
	return len(s.parameters[name])
}

// Value is the value of a parameter, or of the version that the name ends with (name:3).
func (s *Store) Value(name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, _, err := s.find(name)
	return v.value, err
}

// find returns the version that a name means, and its number.
func (s *Store) find(name string) (version, int, error) {
	plain, selector := split(name)
	if err := checkName(plain); err != nil {
		return version{}, 0, err
	}
	all := s.parameters[plain]
	if len(all) == 0 {
		return version{}, 0, apierror.New("ParameterNotFound", "")
	}
	if selector == "" {
		return all[len(all)-1], len(all), nil
	}
	n, err := strconv.Atoi(selector)
	if err != nil { // the lab has no labels
		return version{}, 0, apierror.Errorf("ParameterVersionLabelNotFound",
			"Systems Manager could not find label %s for parameter %s. Verify the label and try again.", selector,
			plain)
	}
	if n < 1 || n > len(all) {
		return version{}, 0, apierror.Errorf("ParameterVersionNotFound",
			"Systems Manager could not find version %s of %s. Verify the version and try again.", selector, plain)
	}
	return all[n-1], n, nil
}

// split returns the name of a parameter, which can be an ARN, and the version or label after it: name:3.
func split(name string) (plain, selector string) {
	if at := strings.Index(name, ":parameter/"); at > 0 && strings.HasPrefix(name, "arn:") {
		name = name[at+len(":parameter"):]
	}
	plain, selector, _ = strings.Cut(name, ":")
	return plain, selector
}

// handlers are the actions. The caller of each holds Store.mu.
var handlers = map[string]func(s *Store, region string, r input) (any, error){
	"GetParameter":        (*Store).get,
	"GetParameters":       (*Store).several,
	"GetParametersByPath": (*Store).below,
	"PutParameter":        (*Store).put,
	"DeleteParameter":     (*Store).remove,
}

// Actions returns the names of all actions.
func Actions() []string { return slices.Sorted(maps.Keys(handlers)) }

// do runs an action and returns what to encode as JSON.
func (s *Store) do(action, region string, r input) (any, error) {
	handle := handlers[action]
	if handle == nil {
		return nil, apierror.New("UnknownOperationException", "")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return handle(s, region, r)
}

func (s *Store) describe(name, region string) (map[string]any, error) {
	v, n, err := s.find(name)
	if err != nil {
		return nil, err
	}
	plain, selector := split(name)
	x := map[string]any{
		"Name": plain, "Type": v.kind, "Value": v.value, "Version": n, "ARN": ARN(region, s.Account, plain),
		"DataType": v.dataType, "LastModifiedDate": float64(v.modified.UnixMilli()) / 1000,
	}
	if selector != "" {
		x["Selector"] = ":" + selector
	}
	return x, nil
}

func (s *Store) get(region string, r input) (any, error) {
	one, err := s.describe(r.Name, region)
	return map[string]any{"Parameter": one}, err
}

func (s *Store) several(region string, r input) (any, error) {
	found, missing := []any{}, []string{}
	for _, n := range r.Names {
		if plain, _ := split(n); checkName(plain) != nil {
			return nil, checkName(plain)
		}
		if one, err := s.describe(n, region); err == nil {
			found = append(found, one)
		} else {
			missing = append(missing, n)
		}
	}
	return map[string]any{"Parameters": found, "InvalidParameters": missing}, nil
}

// pageSize is how many parameters GetParametersByPath returns at most, and without MaxResults.
const pageSize = 10

func (s *Store) below(region string, r input) (any, error) {
	if err := checkPath(r.Path); err != nil {
		return nil, err
	}
	prefix, found := strings.TrimSuffix(r.Path, "/")+"/", []any{}
	for _, name := range slices.Sorted(maps.Keys(s.parameters)) {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok || !r.Recursive && strings.Contains(rest, "/") {
			continue
		}
		one, err := s.describe(name, region)
		if err != nil {
			return nil, err
		}
		found = append(found, one)
	}
	start := 0
	if r.NextToken != "" {
		var err error
		if start, err = strconv.Atoi(r.NextToken); err != nil || start < 0 || start > len(found) {
			return nil, apierror.New("InvalidNextToken", "The specified token isn't valid.")
		}
	}
	end := min(start+cmp.Or(r.MaxResults, pageSize), len(found))
	x := map[string]any{"Parameters": found[start:end]}
	if end < len(found) {
		x["NextToken"] = strconv.Itoa(end)
	}
	return x, nil
}

func (s *Store) remove(_ string, r input) (any, error) {
	if len(s.parameters[r.Name]) == 0 {
		return nil, apierror.New("ParameterNotFound", "")
	}
	delete(s.parameters, r.Name)
	return map[string]any{}, nil
}
