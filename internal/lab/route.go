// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/ec2"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iamapi"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/s3"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/ssm"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sts"
)

// maxBody is the most that EC2, STS and SSM requests are read of; user data makes real ones 30 KB at most.
const maxBody = 8 << 20

// Call is one request the lab got, for tests and for people who wonder what a program did.
type Call struct {
	Time    time.Time `json:"time"`
	Service string    `json:"service"`
	Action  string    `json:"action"`
	Region  string    `json:"region,omitempty"`
	Who     string    `json:"who,omitempty"`
	Status  int       `json:"status"`
	Code    string    `json:"code,omitempty"`   // of the refusal
	Detail  string    `json:"detail,omitempty"` // S3: bucket/key
	// Headers of S3: encryption, tags, metadata, the owner that is expected; nothing of the signature.
	Headers map[string]string `json:"headers,omitempty"`
}

// exchange is a request on its way through the lab.
type exchange struct {
	lab      *Lab
	w        http.ResponseWriter // where the answer goes
	original http.ResponseWriter
	r        *http.Request
	body     []byte // of everything but S3
	service  string
	action   string
	region   string
	who      sigv4.Principal
	status   int
	code     string
	detail   string
	ec2      ec2.Request // of EC2's

	began     time.Time
	noted     bool // in the list of calls
	presigned bool // by a URL
	severed   bool // its connection is to break when what came through has been read

	parameter func(name string) string // of the request; nil where it has none by name
}

// ServeHTTP implements http.Handler.
func (l *Lab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, controlPath) {
		l.control(w, r)
		return
	}
	x := &exchange{lab: l, w: w, original: w, r: r, service: serviceOf(r), status: http.StatusOK, began: time.Now().UTC()}
	if scope, err := sigv4.ReadScope(r); err == nil {
		x.region, x.presigned = scope.Region, scope.Presigned
	}
	if l.keys.Skew != 0 {
		w.Header().Set("Date", l.keys.Now().UTC().Format(http.TimeFormat))
	}
	if x.service != "s3" {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			x.refuse(refusal{http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request is too large."})
			return
		}
		x.body = body
	}
	defer x.note() // also when a fault cuts the connection
	x.serve()
}

// note puts the call into the list of calls, once.
func (x *exchange) note() {
	if !x.noted {
		x.noted = true
		x.lab.record(Call{x.began, x.service, x.action, x.region, x.who.ARN, x.status, x.code, x.detail, x.headers()})
	}
}

// headers are what S3 was told beside the content.
func (x *exchange) headers() map[string]string {
	if x.service != "s3" {
		return nil
	}
	kept := map[string]string{}
	for name, values := range x.r.Header {
		if strings.HasPrefix(name, "X-Amz-") && name != "X-Amz-Security-Token" && name != "X-Amz-Date" && name != "X-Amz-Content-Sha256" {
			kept[name] = values[0]
		}
	}
	return kept
}

// serviceOf tells the services apart: by the target header, by the scope of the signature, and an
// unsigned form is for EC2, anything else for S3.
func serviceOf(r *http.Request) string {
	if strings.HasPrefix(r.Header.Get("X-Amz-Target"), "AmazonSSM.") {
		return "ssm"
	}
	scope, err := sigv4.ReadScope(r)
	if err == nil && slices.Contains([]string{"ec2", "sts", "ssm", "s3", "iam"}, scope.Service) {
		return scope.Service
	}
	if r.Method == http.MethodPost && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		return "ec2"
	}
	return "s3"
}

func (x *exchange) serve() {
	need, act, err := x.prepare()
	if err == nil {
		err = x.lab.keys.InScope(x.r, x.service)
	}
	if err == nil && x.service == "s3" {
		x.who, err = x.lab.keys.VerifyS3(x.r)
	} else if err == nil {
		x.who, err = x.lab.keys.Verify(x.r, x.body)
	}
	if err != nil {
		x.refuse(refusalOf(x.service, err))
		return
	}
	fault := x.lab.nextFault(x)
	if fault.breaks(x, before) {
		return
	}
	if x.service == "ec2" && !x.lab.limits.Take(ec2.Cost(x.ec2)) {
		x.refuse(worded[throttle]["ec2"])
		return
	}
	if r := x.denied(need); r != nil {
		x.refuse(deny(x.service, *r, x.who))
		return
	}
	if err := x.tooYoung(x.lab.options.Eventual); err != nil {
		x.refuse(refusalOf(x.service, err))
		return
	}
	if fault.When == after {
		x.w = discard{} // the effect is there, the answer never arrives
	}
	act()
	if x.severed {
		x.status, x.code = 0, fault.Code
		abort()
	}
	fault.breaks(x, after)
}

// prepare reads which action a request is for, and with it the permissions it needs.
func (x *exchange) prepare() (need []iam.Request, act func(), err error) {
	switch x.service {
	case "ec2":
		return x.prepareEC2()
	case "sts":
		form, err := url.ParseQuery(string(x.body))
		x.parameter = form.Get
		if x.action = form.Get("Action"); x.action == "GetCallerIdentity" { // needs no permission
			return nil, func() { x.serveSTS(form) }, err
		}
		return []iam.Request{{Action: "sts:" + x.action, Resource: cmp.Or(form.Get("RoleArn"), "*")}}, func() { x.serveSTS(form) }, err
	case "iam":
		form, err := url.ParseQuery(string(x.body))
		x.action, x.parameter = form.Get("Action"), form.Get
		return x.lab.iam.Permissions(x.action, form), func() { x.serveIAM(form) }, err
	case "ssm":
		_, x.action, _ = strings.Cut(x.r.Header.Get("X-Amz-Target"), ".")
		return ssm.Permissions(x.action, x.region, cloud.Account, x.body), x.serveSSM, nil
	default:
		o := s3.OperationOf(x.r)
		x.parameter = func(name string) string {
			return map[string]string{"Key": o.Key, "Bucket": o.Bucket, "Presigned": strconv.FormatBool(x.presigned)}[name]
		}
		x.action, x.detail = o.Name, o.Bucket+"/"+o.Key
		return o.Needs(), func() { x.serveS3(o) }, nil
	}
}

func (x *exchange) prepareEC2() ([]iam.Request, func(), error) {
	q, err := ec2.ParseQuery(string(x.body))
	if err != nil {
		return nil, nil, err
	}
	request := ec2.Request{Action: q.String("Action"), Region: x.region, Query: q}
	x.action, x.parameter, x.ec2 = request.Action, q.String, request
	return x.lab.ec2.Permissions(request, x.lab.iam.RoleOf), func() { x.serveEC2(x.ec2) }, nil
}

// denied is the first thing the sender may not do; nil when they may do it all.
func (x *exchange) denied(need []iam.Request) *iam.Request {
	for _, one := range need {
		if !x.lab.allows(x.who, one) {
			return &one
		}
	}
	return nil
}

// allows asks the policy of a user, or of a role: its own if it was made here, and the lab's.
func (l *Lab) allows(who sigv4.Principal, one iam.Request) bool {
	if who.Role == "" {
		return l.options.Policy.Allows(one)
	}
	allowed, known := l.iam.Allows(who.Role, one)
	return (allowed || !known) && l.options.RolePolicy.Allows(one)
}

func (x *exchange) serveEC2(request ec2.Request) {
	body, err := x.lab.ec2.Do(x.r.Context(), request)
	if err != nil {
		status, text := ec2.Refusal(err)
		x.code = "InternalError"
		if refused := (*cloud.Error)(nil); errors.As(err, &refused) {
			x.code = refused.Code
		}
		x.answer(status, "text/xml;charset=UTF-8", text)
		return
	}
	x.answer(http.StatusOK, "text/xml;charset=UTF-8", body)
}

func (x *exchange) serveSTS(form url.Values) {
	body, err := x.lab.sts.Do(x.action, form, x.who)
	if err != nil {
		x.code = strings.SplitN(err.Error(), ":", 2)[0]
		x.answer(http.StatusBadRequest, "text/xml", sts.Refusal(err))
		return
	}
	x.answer(http.StatusOK, "text/xml", body)
}

func (x *exchange) serveIAM(form url.Values) {
	body, err := x.lab.iam.Do(x.action, form)
	if err != nil {
		x.code = strings.SplitN(err.Error(), ":", 2)[0]
		status, text := iamapi.Refusal(err)
		x.answer(status, "text/xml", text)
		return
	}
	x.answer(http.StatusOK, "text/xml", body)
}

func (x *exchange) serveSSM() {
	result, err := x.lab.ssm.Do(x.action, x.region, x.body)
	if err != nil {
		x.code = strings.SplitN(err.Error(), ":", 2)[0]
		x.answer(http.StatusBadRequest, jsonType, ssm.Refusal(err))
		return
	}
	body, err := json.Marshal(result)
	if err != nil {
		x.refuse(refusal{http.StatusInternalServerError, "InternalServerError", err.Error()})
		return
	}
	x.answer(http.StatusOK, jsonType, body)
}

func (x *exchange) serveS3(o s3.Operation) {
	if x.lab.s3.Missing(o) && x.denied([]iam.Request{o.Listing()}) != nil {
		x.refuse(refusal{http.StatusForbidden, "AccessDenied", "Access Denied"})
		return
	}
	watched := &statusWriter{ResponseWriter: x.w, status: http.StatusOK}
	x.lab.s3.ServeHTTP(watched, x.r)
	x.status = watched.status
}

const jsonType = "application/x-amz-json-1.1"

// answer writes a whole response.
func (x *exchange) answer(status int, contentType string, body []byte) {
	x.status = status
	x.w.Header().Set("Content-Type", contentType)
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // a client that went away reads nothing
}

// statusWriter notes the status for the record.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// Unwrap is for http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// discard is where an answer goes that is not to arrive.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

func (l *Lab) record(c Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, c)
}

// Calls are all requests so far, in the order they were answered in.
func (l *Lab) Calls() []Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.calls)
}
