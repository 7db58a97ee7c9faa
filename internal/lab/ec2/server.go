// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// namespace of every response.
const namespace = "http://ec2.amazonaws.com/doc/2016-11-15/"

// Server answers EC2's actions.
type Server struct {
	Cloud   *cloud.Cloud
	Resolve func(parameter string) (imageID string, err error) // resolve:ssm: in an ImageId

	mu        sync.Mutex
	templates []*template
}

// Request is one call whose sender is known and allowed to make it.
type Request struct {
	Action, Region string
	Query          *Query
	Console        cloud.ConsoleView // how GetConsoleOutput looks at it
	context        context.Context
}

type action func(*Server, *Request) (any, error)

// Known says whether the lab has an action of this name.
func Known(name string) bool { return actions[name] != nil }

// Do runs one call and returns the response's document. An error is a *cloud.Error where EC2
// would refuse.
func (s *Server) Do(ctx context.Context, r Request) ([]byte, error) {
	do := actions[r.Action]
	if do == nil {
		return nil, cloud.Errorf("InvalidAction", "The action %s is not valid for this web service.", r.Action)
	}
	if r.Region == cloud.ClosedRegion { // as EC2 answers where an account has not opted in
		return nil, cloud.Errorf("AuthFailure", "AWS was not able to validate the provided access credentials")
	}
	r.context = ctx
	answer, err := do(s, &r)
	if err != nil {
		return nil, err
	}
	return document(r.Action, answer)
}

// done is the answer of actions that have nothing to say.
type done struct {
	Return bool `xml:"return"`
}

var ok = done{true}

func document(action string, answer any) ([]byte, error) {
	var body bytes.Buffer
	if err := xml.NewEncoder(&body).EncodeElement(answer, xml.StartElement{Name: xml.Name{Local: "x"}}); err != nil {
		return nil, fmt.Errorf("encode the answer to %s: %w", action, err)
	}
	inner := bytes.TrimSuffix(bytes.TrimPrefix(body.Bytes(), []byte("<x>")), []byte("</x>"))
	return fmt.Appendf(nil, "%s<%sResponse xmlns=%q><requestId>%s</requestId>%s</%sResponse>",
		xml.Header, action, namespace, requestID(), inner, action), nil
}

// Refusal is the status and body of an error, as EC2 words it.
func Refusal(err error) (int, []byte) {
	refused := &cloud.Error{Code: "InternalError", Message: err.Error()}
	errors.As(err, &refused)
	type one struct{ Code, Message string }
	type response struct {
		XMLName   xml.Name `xml:"Response"`
		Errors    []one    `xml:"Errors>Error"`
		RequestID string   `xml:"RequestID"`
	}
	body, fail := xml.Marshal(response{Errors: []one{{refused.Code, refused.Message}}, RequestID: requestID()})
	if fail != nil {
		return http.StatusInternalServerError, nil
	}
	return Status(refused.Code), append([]byte(xml.Header), body...)
}

// Status of an error code: 400 but for these
// (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html).
func Status(code string) int {
	switch code {
	case "UnauthorizedOperation", "OptInRequired", "Blocked":
		return http.StatusForbidden
	case "DryRunOperation":
		return http.StatusPreconditionFailed
	case "AuthFailure":
		return http.StatusUnauthorized
	case "InternalError", "InternalFailure", "InsufficientInstanceCapacity", "InsufficientCapacity", "InsufficientHostCapacity":
		return http.StatusInternalServerError
	case "ServiceUnavailable", "Unavailable", "RequestLimitExceeded":
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// requestID is a random UUID, as every answer of EC2 carries.
func requestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
