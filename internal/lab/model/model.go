// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package model is what AWS' service models say of the actions that the lab serves: their parameters, which of them
// are required, the values, lengths and patterns they may have, and the filters of lists. Each service checks a
// request with it before it does anything, and words what is wrong as AWS does.
//
// The tables (ec2.json and others) are made from botocore's service models (Apache License 2.0); see
// tools/lab-models.sh. The package may not know what an action does.
package model

import (
	"embed"
	"encoding/json"
	"fmt"
	"slices"
)

//go:embed *.json
var files embed.FS

// Service is the table of one service.
type Service struct {
	Botocore   string               `json:"botocore"` // the version that the table was made from
	Operations map[string]Operation `json:"operations"`
	Shapes     map[string]*Shape    `json:"shapes"`
}

// Operation is an action.
type Operation struct {
	Input   string   `json:"input,omitempty"`   // a structure; "" for an action without parameters
	Filters []string `json:"filters,omitempty"` // as the action's documentation lists them; tag:<key> for tags
}

// Shape is a type of the model.
type Shape struct {
	Type     string            `json:"type"`              // structure, list, string, integer, boolean, ...
	Members  map[string]string `json:"members,omitempty"` // of a structure: the shapes, by the name in requests
	Required []string          `json:"required,omitempty"`
	Member   string            `json:"member,omitempty"` // of a list: the shape of its items
	Enum     []string          `json:"enum,omitempty"`
	Min      *float64          `json:"min,omitempty"` // of a number its value; otherwise its length
	Max      *float64          `json:"max,omitempty"`
	Pattern  string            `json:"pattern,omitempty"`
}

// Load returns the table of a service: "ec2".
func Load(service string) (*Service, error) {
	text, err := files.ReadFile(service + ".json")
	if err != nil {
		return nil, fmt.Errorf("read the model of %s: %w", service, err)
	}
	s := &Service{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("read the model of %s: %w", service, err)
	}
	return s, nil
}

// MustLoad is Load for a table that is part of the program.
func MustLoad(service string) *Service {
	s, err := Load(service)
	if err != nil {
		panic(err) // the tests load every table
	}
	return s
}

// shape returns the shape of a name. A name that is in no table is that of a type without constraints: "string".
func (s *Service) shape(name string) *Shape {
	if shape := s.Shapes[name]; shape != nil {
		return shape
	}
	return &Shape{Type: name}
}

// Input returns the structure with an action's parameters; nil for an action that is not in the table.
func (s *Service) Input(action string) *Shape {
	o, ok := s.Operations[action]
	switch {
	case !ok:
		return nil
	case o.Input == "":
		return &Shape{Type: "structure"}
	}
	return s.shape(o.Input)
}

// Has reports whether an action has a parameter.
func (s *Service) Has(action, parameter string) bool {
	in := s.Input(action)
	return in != nil && in.Members[parameter] != ""
}

// HasFilter reports whether a list can be filtered by a name. Actions without a list of filters in their documentation
// have none here.
func (s *Service) HasFilter(action, name string) bool {
	return slices.Contains(s.Operations[action].Filters, name)
}
