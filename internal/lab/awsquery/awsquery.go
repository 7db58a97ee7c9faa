// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package awsquery is the AWS query protocol as IAM and STS speak it: a form as request, XML as response. EC2 has a
// dialect of its own, in package ec2. The package may not know any service.
package awsquery

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
)

const contentType = "text/xml"

// Form is the form of a request. It implements those methods of service.Action that IAM and STS have in common.
type Form struct{ url.Values }

// Name returns the action.
func (f Form) Name() string { return f.Get("Action") }

// Parameter returns a request parameter.
func (f Form) Parameter(name string) string { return f.Get(name) }

// Parse parses the body of a request.
func Parse(body []byte) (Form, error) {
	values, err := url.ParseQuery(string(body))
	if err != nil {
		return Form{}, apierror.New("MalformedQueryString", "The query string contains a syntax error")
	}
	return Form{values}, nil
}

// Empty is the result of an action that returns nothing. The response has no element for it.
var Empty any = struct{}{}

// Write answers an action with its result.
func Write(w http.ResponseWriter, namespace, action string, result any) error {
	document, err := response(namespace, action, result)
	if err != nil {
		return err
	}
	service.Write(w, http.StatusOK, contentType, document)
	return nil
}

func response(namespace, action string, result any) ([]byte, error) {
	var body bytes.Buffer
	if result != Empty {
		start := xml.StartElement{Name: xml.Name{Local: action + "Result"}}
		if err := xml.NewEncoder(&body).EncodeElement(result, start); err != nil {
			return nil, fmt.Errorf("encode the response to %s: %w", action, err)
		}
	}
	return fmt.Appendf(nil, "<%sResponse xmlns=%q>%s"+
		"<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>",
		action, namespace, body.Bytes(), requestID(), action), nil
}

// WriteError answers with an error.
func WriteError(w http.ResponseWriter, namespace string, status int, e *apierror.Error) {
	type response struct {
		XMLName   xml.Name
		Type      string `xml:"Error>Type"`
		Code      string `xml:"Error>Code"`
		Message   string `xml:"Error>Message"`
		RequestID string `xml:"RequestId"`
	}
	body, _ := xml.Marshal(response{
		XMLName: xml.Name{Space: namespace, Local: "ErrorResponse"},
		Type:    "Sender", Code: e.Code, Message: e.Message, RequestID: requestID(),
	}) // strings only: it cannot fail
	service.Write(w, status, contentType, body)
}

func requestID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
