// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsfake

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Do implements aws.HTTPClient.
func (a *Account) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	w := httptest.NewRecorder()
	switch {
	case strings.Contains(r.URL.Host, ".s3."):
		a.answerObject(w, r)
	case strings.HasPrefix(r.URL.Host, "ssm."):
		a.Calls = append(a.Calls, "GetParameter")
		fmt.Fprintf(w, `{"Parameter":{"Value":%q}}`, SourceImageID)
	default:
		a.answerQuery(w, r)
	}
	response := w.Result()
	response.Request = r
	return response, nil
}

// answerQuery answers EC2, IAM and STS, which all take a form and return XML.
func (a *Account) answerQuery(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		a.t.Error(err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		a.t.Error(err)
	}
	action := form.Get("Action")
	a.Calls = append(a.Calls, action)
	a.Requests[action], a.RequestedAt[action] = form, time.Now()
	service, region := endpoint(r.URL.Host)
	failure := a.failure(a.FailBefore, action)
	var answer string
	if failure == nil {
		answer, failure = a.act(query{action, region, form})
	}
	if failure == nil {
		failure = a.failure(a.FailAfter, action)
	}
	if failure != nil {
		w.WriteHeader(failure.Status)
		answer = failure.xml(service)
	} else {
		answer = element(action+"Response", answer)
	}
	_, _ = io.WriteString(w, answer)
}

// xml returns a failure in the form of a service.
func (f *Failure) xml(service string) string {
	failure := element("Error", value("Code", f.Code), value("Message", f.message()))
	if service == "ec2" {
		return element("Response", element("Errors", failure))
	}
	return element("ErrorResponse", failure)
}

// endpoint reads the service and the region from a host such as ec2.us-east-1.amazonaws.com. IAM's has no region.
func endpoint(host string) (service, region string) {
	service, rest, _ := strings.Cut(host, ".")
	region, _, _ = strings.Cut(rest, ".")
	return service, region
}

// Count returns how often an action was called.
func (a *Account) Count(action string) int { return len(a.CallsOf(action)) }

// CallsOf returns the calls of some actions, in order.
func (a *Account) CallsOf(actions ...string) []string {
	other := func(called string) bool { return !slices.Contains(actions, called) }
	return slices.DeleteFunc(slices.Clone(a.Calls), other)
}

// query is one call of EC2, IAM or STS.
type query struct {
	action, region string
	form           url.Values
}

func (q query) get(parameter string) string { return q.form.Get(parameter) }

// act does what a call asks for, and returns the XML inside its response.
func (a *Account) act(q query) (string, *Failure) {
	for _, act := range []func(query) (answer string, failure *Failure, known bool){
		a.actOnNetwork, a.actOnSettings, a.actOnImages, a.changeImages, a.actOnInstances, a.actOnSpot, a.actOnIAM,
	} {
		if answer, failure, known := act(q); known {
			return answer, failure
		}
	}
	a.t.Errorf("the fake account does not know %s", q.action)
	return "", badRequest("InvalidAction")
}
