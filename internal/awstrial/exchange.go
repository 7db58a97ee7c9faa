// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// exchange is one call of an AWS API and its answer, without what nobody else may read.
type exchange struct {
	At      time.Time           `json:"at"`
	Seconds float64             `json:"seconds"`
	Service string              `json:"service"`
	Region  string              `json:"region"`
	Action  string              `json:"action"`
	Request map[string][]string `json:"request,omitempty"`
	Status  int                 `json:"status"`
	Code    string              `json:"code,omitempty"` // the error's
	Answer  map[string][]string `json:"answer,omitempty"`
}

// bodyLimit is how much of a body is read for the record, in bytes. The largest answers have some 100 KB.
const bodyLimit = 4 << 20

// valueLimit is how many different values of one name are recorded.
const valueLimit = 8

// scope matches the credential of a signature: its region and its service.
var scope = regexp.MustCompile(`Credential=[^/]+/\d{8}/([^/]+)/([^/]+)/aws4_request`)

// describeCall returns what a signed request asks for, and false for any other request. The body is that of a call with
// parameters in it, and nil for an upload.
func describeCall(r *http.Request, body []byte) (exchange, bool) {
	m := scope.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		return exchange{}, false
	}
	x := exchange{Region: m[1], Service: m[2]}
	switch {
	case x.Service == "s3":
		x.Action, x.Request = describeObjectCall(r)
	case r.Header.Get("X-Amz-Target") != "":
		_, x.Action, _ = strings.Cut(r.Header.Get("X-Amz-Target"), ".")
		x.Request = jsonValues(body)
	default:
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return exchange{}, false
		}
		x.Action = form.Get("Action")
		delete(form, "Action")
		x.Request = map[string][]string{}
		for name, values := range form {
			for _, value := range values {
				add(x.Request, listIndex.ReplaceAllString(name, ""), value)
			}
		}
	}
	return x, true
}

// listIndex matches the place in a list in the name of a parameter: Filter.1.Value.2 is Filter.Value.
var listIndex = regexp.MustCompile(`\.\d+\b`)

// describeObjectCall names a call of S3 by its method, what it is for, and the names in its query.
func describeObjectCall(r *http.Request) (action string, request map[string][]string) {
	what := "object"
	path := strings.Trim(r.URL.Path, "/")
	isBucketHost := strings.Contains(r.Host, ".s3.") || strings.Contains(r.Host, ".s3-")
	if isBucketHost && path == "" || !isBucketHost && !strings.Contains(path, "/") {
		what = "bucket"
	}
	if !isBucketHost && path == "" {
		what = "buckets"
	}
	request = map[string][]string{}
	var names []string
	for name, values := range r.URL.Query() {
		if name == "x-id" {
			continue
		}
		names = append(names, name)
		for _, value := range values {
			add(request, name, value)
		}
	}
	slices.Sort(names)
	action = r.Method + " " + what
	if len(names) > 0 {
		action += "?" + strings.Join(names, "&")
	}
	for name := range r.Header {
		add(request, "header "+name, "")
	}
	return action, request
}

// readAnswer adds what AWS answered.
func (x *exchange) readAnswer(status int, header http.Header, body []byte) {
	x.Status = status
	switch {
	case strings.Contains(header.Get("Content-Type"), "json"):
		x.Answer = jsonValues(body)
	case bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")):
		x.Answer = xmlValues(body)
	default:
		x.Answer = map[string][]string{}
	}
	if status >= http.StatusBadRequest {
		x.Code = errorCode(x.Answer)
	}
	if x.Service == "s3" {
		for name := range header {
			add(x.Answer, "header "+name, "")
		}
	}
}

// errorCode finds the code in an error of one of the protocols: <Code>, <Error><Code>, or __type.
func errorCode(answer map[string][]string) string {
	for name, values := range answer {
		last := name[strings.LastIndex(name, "/")+1:]
		if (last == "Code" || last == "__type") && len(values) > 0 {
			return values[0][strings.LastIndex(values[0], "#")+1:]
		}
	}
	return ""
}

// xmlValues returns the texts in XML by the path of their element, in which an item of a list has no number.
func xmlValues(body []byte) map[string][]string {
	values := map[string][]string{}
	var path []string
	d := xml.NewDecoder(bytes.NewReader(body))
	for {
		token, err := d.Token()
		if err != nil { // io.EOF, or an answer that was cut off
			return values
		}
		switch t := token.(type) {
		case xml.StartElement:
			path = append(path, t.Name.Local)
			if len(path) > 1 {
				add(values, strings.Join(path[1:], "/"), "")
			}
		case xml.EndElement:
			path = path[:max(0, len(path)-1)]
		case xml.CharData:
			if text := strings.TrimSpace(string(t)); text != "" && len(path) > 1 {
				add(values, strings.Join(path[1:], "/"), text)
			}
		}
	}
}

// jsonValues is xmlValues for JSON.
func jsonValues(body []byte) map[string][]string {
	values := map[string][]string{}
	var tree any
	numbers := json.NewDecoder(bytes.NewReader(body))
	numbers.UseNumber()
	if numbers.Decode(&tree) == nil {
		addJSON(values, "", tree)
	}
	return values
}

func addJSON(values map[string][]string, path string, tree any) {
	switch t := tree.(type) {
	case map[string]any:
		for name, value := range t {
			addJSON(values, strings.TrimPrefix(path+"/"+name, "/"), value)
		}
	case []any:
		for _, value := range t {
			addJSON(values, path, value)
		}
	default:
		add(values, path, fmt.Sprint(t)) // a scalar
	}
}

// add records a value once, and of a name that has many, the first ones.
func add(values map[string][]string, name, value string) {
	known := values[name]
	if value = mask(name, value); value != "" && !slices.Contains(known, value) && len(known) < valueLimit {
		known = append(known, value)
	}
	values[name] = known
}

var (
	// secretName matches the names of values that are never recorded.
	secretName = regexp.MustCompile(`(?i)userdata|secret|token|accesskey|password|(^|/)output$|userid|(^|/)arn$|` +
		`ownerid|account|signature|credential|public|privatekey|keyname`)
	// plain matches values that say nothing about an account: words, numbers, ids and times.
	plain = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,30}$`)
	// accountNumber matches the number of an account.
	accountNumber = regexp.MustCompile(`\b\d{12}\b`)
)

// mask returns a value as it is recorded. What may be a secret or names an account is three dots.
func mask(name, value string) string {
	if value == "" {
		return ""
	}
	if secretName.MatchString(name) || !plain.MatchString(value) || accountNumber.MatchString(value) {
		return "..."
	}
	return value
}

// peek returns up to bodyLimit bytes of a body, and the body as it was.
func peek(body io.ReadCloser) ([]byte, io.ReadCloser, error) {
	if body == nil {
		return nil, nil, nil
	}
	head, err := io.ReadAll(io.LimitReader(body, bodyLimit))
	rest := struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head), body), body}
	return head, rest, err
}
