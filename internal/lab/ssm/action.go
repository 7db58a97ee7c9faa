// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ssm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
)

const contentType = "application/x-amz-json-1.1"

// Name implements service.Service, as do Parse, Errors and WriteError.
func (s *Store) Name() string { return service.SSM }

// Parse reads the action from the header X-Amz-Target. A body that is not JSON is an error of Action.Do.
func (s *Store) Parse(r *service.Request) (service.Action, error) {
	_, name, _ := strings.Cut(r.HTTP.Header.Get("X-Amz-Target"), ".")
	a := &action{store: s, name: name, region: r.Region}
	if json.Unmarshal(r.Body, &a.input) != nil || json.Unmarshal(r.Body, &a.parameters) != nil {
		a.input, a.invalid = input{}, true
	}
	return a, nil
}

// Errors returns how Systems Manager reports errors.
func (s *Store) Errors() *service.Errors { return &ssmErrors }

// WriteError answers with an error as JSON.
func (s *Store) WriteError(w http.ResponseWriter, _ *service.Request, e *apierror.Error) {
	response := map[string]string{"__type": e.Code, "message": e.Message}
	body, _ := json.Marshal(response) //nolint:errchkjson // strings only
	service.Write(w, ssmErrors.Status(e.Code), contentType, body)
}

// action is one request.
type action struct {
	store        *Store
	name, region string
	input        input
	invalid      bool // the body is not JSON
	parameters   map[string]any
}

// input has the fields of every action here.
type input struct {
	Name, Value, Type, Path, NextToken, Tier, DataType string
	Names                                              []string
	Overwrite, Recursive                               bool
	MaxResults                                         int
}

func (a *action) Name() string { return a.name }

func (a *action) Parameter(name string) string {
	if value, ok := a.parameters[name]; ok {
		return fmt.Sprint(value)
	}
	return ""
}

func (a *action) Permissions() []iam.Request {
	names := a.input.Names
	if name := a.input.Name + a.input.Path; name != "" {
		names = append(names, name)
	}
	if len(names) == 0 || strings.HasPrefix(a.name, "Describe") {
		return []iam.Request{{Action: "ssm:" + a.name, Resource: "*"}}
	}
	var need []iam.Request
	for _, name := range names {
		need = append(need, iam.Request{Action: "ssm:" + a.name, Resource: ARN(a.region, a.store.Account, name)})
	}
	return need
}

func (a *action) Do(w http.ResponseWriter, _ service.Sender) error {
	if a.invalid {
		return apierror.New("SerializationException", "The request is not valid JSON.")
	}
	if err := checkModel(a.name, a.parameters); err != nil {
		return err
	}
	result, err := a.store.do(a.name, a.region, a.input)
	if err != nil {
		return err
	}
	body, err := json.Marshal(result)
	if err != nil {
		return fmt.Errorf("encode the response to %s: %w", a.name, err)
	}
	service.Write(w, http.StatusOK, contentType, body)
	return nil
}

// ARN returns the ARN of a parameter. Those that AWS publishes belong to no account.
func ARN(region, account, name string) string {
	name, _ = split(name)
	if strings.HasPrefix(name, "/aws/") {
		account = ""
	}
	return "arn:aws:ssm:" + region + ":" + account + ":parameter/" + strings.TrimPrefix(name, "/")
}
