// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/xml"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
)

// namespace of every response.
const namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"

// contentType of every response.
const contentType = "text/xml;charset=UTF-8"

// Server is the EC2 API of an account.
type Server struct {
	Cloud *cloud.Cloud
	// ResolveImage returns the image id that an SSM parameter holds: resolve:ssm: in an ImageId.
	ResolveImage func(parameter string) (string, error)
	// RoleOf returns the ARN of the role of an instance profile; "" when there is none.
	RoleOf func(profile string) string
	// ProfileNotVisibleYet returns an error for an instance profile that is younger than minAge.
	ProfileNotVisibleYet func(name string, minAge time.Duration) error

	mu        sync.Mutex
	templates []*template
}

// Name implements service.Service, as do Parse, Errors and WriteError.
func (s *Server) Name() string { return service.EC2 }

// Parse reads the form of a request.
func (s *Server) Parse(r *service.Request) (service.Action, error) {
	q, err := ParseQuery(string(r.Body))
	if err != nil {
		return nil, err
	}
	return &request{server: s, context: r.HTTP.Context(), action: q.String("Action"), region: r.Region, query: q}, nil
}

// Errors returns how EC2 reports errors.
func (s *Server) Errors() *service.Errors { return &ec2Errors }

// WriteError answers with an error as XML.
func (s *Server) WriteError(w http.ResponseWriter, _ *service.Request, e *apierror.Error) {
	service.Write(w, ec2Errors.Status(e.Code), contentType, errorDocument(e))
}

// request is one request: a service.Action.
type request struct {
	region string
	query  *Query

	server  *Server
	context context.Context
	action  string
	console cloud.ConsoleView // what GetConsoleOutput shows
}

// Name implements service.Action, as do Parameter, Permissions and Do.
func (r *request) Name() string { return r.action }

// Parameter returns a request parameter.
func (r *request) Parameter(name string) string { return r.query.String(name) }

// ConsoleView returns what GetConsoleOutput shows, for faults to change.
func (r *request) ConsoleView() *cloud.ConsoleView { return &r.console }

// Do runs the action.
func (r *request) Do(w http.ResponseWriter, _ service.Sender) error {
	handle := handlers[r.action]
	if handle == nil {
		return apierror.Errorf("InvalidAction", "The action %s is not valid for this web service.", r.action)
	}
	if r.region == cloud.ClosedRegion { // as EC2 answers where an account has not opted in
		return apierror.Errorf("AuthFailure", "AWS was not able to validate the provided access credentials")
	}
	result, err := r.handle(handle)
	if err != nil {
		return err
	}
	body, err := document(r.action, result)
	if err != nil {
		return err
	}
	service.Write(w, http.StatusOK, contentType, body)
	return nil
}

// handle checks the parameters and runs the action. Actions that change something return the error that ends a dry run
// themselves, before they do.
func (r *request) handle(do handler) (any, error) {
	if err := checkModel(r.action, r.query); err != nil {
		return nil, err
	}
	if err := checkTagSpecifications(r.action, r.query); err != nil {
		return nil, err
	}
	if err := checkPage(r.action, r.query); err != nil {
		return nil, err
	}
	result, err := do(r.server, r)
	if err != nil {
		return nil, err
	}
	return result, dryRun(r)
}

// NotVisibleYet implements service.EventuallyConsistent
// (https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html).
func (r *request) NotVisibleYet(minAge time.Duration) error {
	for _, id := range r.query.names() {
		if err := r.server.Cloud.NotVisibleYet(id, minAge); err != nil {
			return err
		}
	}
	if name := r.query.String("IamInstanceProfile.Name"); r.server.ProfileNotVisibleYet(name, minAge) != nil {
		return apierror.Errorf("InvalidParameterValue",
			"Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", name)
	}
	r.query.hide(func(id string) bool { return r.server.Cloud.NotVisibleYet(id, minAge) != nil })
	return nil
}

// booleanResult is the result of actions that return only true.
type booleanResult struct {
	Return bool `xml:"return"`
}

var ok = booleanResult{true}

func document(action string, result any) ([]byte, error) {
	var body bytes.Buffer
	if err := xml.NewEncoder(&body).EncodeElement(result, xml.StartElement{Name: xml.Name{Local: "x"}}); err != nil {
		return nil, fmt.Errorf("encode the response to %s: %w", action, err)
	}
	inner := bytes.TrimSuffix(bytes.TrimPrefix(body.Bytes(), []byte("<x>")), []byte("</x>"))
	return fmt.Appendf(nil, "%s<%sResponse xmlns=%q><requestId>%s</requestId>%s</%sResponse>",
		xml.Header, action, namespace, requestID(), inner, action), nil
}

// errorDocument returns an error as XML.
func errorDocument(e *apierror.Error) []byte {
	type item struct{ Code, Message string }
	type response struct {
		XMLName   xml.Name `xml:"Response"`
		Errors    []item   `xml:"Errors>Error"`
		RequestID string   `xml:"RequestID"`
	}
	// strings only: it cannot fail
	body, _ := xml.Marshal(response{Errors: []item{{e.Code, e.Message}}, RequestID: requestID()})
	return append([]byte(xml.Header), body...)
}

// requestID returns a random UUID, as every response of EC2 has one.
func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
