// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package service is what the lab's root knows of an AWS service: its name, how it parses a request, what a parsed
// request does and needs, and how the service reports an error. Packages ec2, iamapi, s3, ssm and sts implement
// Service.
//
// The package may not know any of them, nor the state of the lab. The instance metadata service is not a Service: it
// has an address of its own, no signatures and no named actions.
package service

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/limit"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
)

// The names of the services, as they stand in the credential scope of a signature and before the colon of an IAM
// action.
const (
	EC2 = "ec2"
	IAM = "iam"
	S3  = "s3"
	SSM = "ssm"
	STS = "sts"
)

// Service is one AWS service.
type Service interface {
	// Name returns one of the names above.
	Name() string
	// Parse reads which action a request is for. Nobody has checked yet who sent it.
	Parse(r *Request) (Action, error)
	// Errors returns how the service reports errors.
	Errors() *Errors
	// WriteError answers a request with an error.
	WriteError(w http.ResponseWriter, r *Request, e *apierror.Error)
}

// Request is an HTTP request to a service.
type Request struct {
	HTTP      *http.Request
	Body      []byte // of every service but those that are a BodyStreamer
	Region    string // that the signature is for; "" when there is no signature
	Presigned bool   // the signature is in the URL
}

// Sender is who sent a request, and what they are allowed to do.
type Sender struct {
	sigv4.Principal
	Allowed func(iam.Request) bool
}

// Action is a parsed request: one call of a service's API.
type Action interface {
	// Name is the action's name in the API reference: RunInstances, PutObject.
	Name() string
	// Permissions are all that the sender must be allowed to do. The caller checks them before Do.
	Permissions() []iam.Request
	// Parameter returns a request parameter by its name in the API; "" when there is none.
	Parameter(name string) string
	// Do runs the action and writes its response. When it returns an error, it has written no body.
	Do(w http.ResponseWriter, s Sender) error
}

// BodyStreamer is a Service whose request bodies may be too large for memory. Nobody reads them before Action.Do, and
// the service's own rules apply to signatures.
type BodyStreamer interface {
	Verify(keys *sigv4.Keys, r *http.Request) (sigv4.Principal, error)
}

// EventuallyConsistent is an Action that may not find resources that were created a moment ago.
type EventuallyConsistent interface {
	// NotVisibleYet returns the service's error when the action names a resource that is younger than minAge. It makes
	// lists leave out such resources.
	NotVisibleYet(minAge time.Duration) error
}

// RateLimited is an Action that counts against the account's request limits.
type RateLimited interface {
	Cost() limit.Request
}

// Recorder is an Action that adds something to the lab's list of calls.
type Recorder interface {
	// Record returns what the action is about, and the request's headers that matter.
	Record() (detail string, headers map[string]string)
}

// NameOf returns the name of the service that a request is for: by the header X-Amz-Target, else by the scope of its
// signature. Without either, a form is for EC2 and anything else is for S3.
func NameOf(r *http.Request) string {
	if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "AmazonSSM.") {
		return SSM
	}
	scope, err := sigv4.ReadScope(r)
	if err == nil && slices.Contains([]string{EC2, IAM, S3, SSM, STS}, scope.Service) {
		return scope.Service
	}
	if r.Method == http.MethodPost &&
		strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return EC2
	}
	return S3
}

// Write answers a request with a whole body.
func Write(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(body) // fails only when the client is gone
}
