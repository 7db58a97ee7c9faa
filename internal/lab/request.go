// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/fault"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
)

// maxBody limits the bodies of all services but S3. User data makes real ones 30 KB at most.
const maxBody = 8 << 20

// request is one request to a service, on its way through the lab.
type request struct {
	service.Request
	lab      *Lab
	service  service.Service
	action   service.Action // nil before it is parsed
	sender   service.Sender
	client   http.ResponseWriter // leads to the client
	response http.ResponseWriter // where the response goes: client, or what a fault has put in its place

	call     Call
	recorded bool // call is in the lab's list
}

// ServeHTTP implements http.Handler.
func (l *Lab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, controlPath) {
		l.control(w, r)
		return
	}
	q := &request{
		Request: service.Request{HTTP: r}, lab: l, service: l.services[service.NameOf(r)], client: w, response: w,
		call: Call{Time: time.Now().UTC(), Status: http.StatusOK},
	}
	q.call.Service = q.service.Name()
	if scope, err := sigv4.ReadScope(r); err == nil {
		q.Region, q.Presigned = scope.Region, scope.Presigned
	}
	q.call.Region = q.Region
	if l.keys.Skew != 0 {
		w.Header().Set("Date", l.keys.Now().UTC().Format(http.TimeFormat))
	}
	defer q.record() // also when a fault closes the connection
	if err := q.serve(); err != nil {
		q.refuse(err)
	}
}

// serve handles the request in the order in which AWS does. The error it returns is still to be written.
func (q *request) serve() error {
	if err := q.readBody(); err != nil {
		return err
	}
	if err := q.parse(); err != nil {
		return err
	}
	if err := q.verify(); err != nil {
		return err
	}
	call := q.faultCall()
	f := q.lab.faults.For(call)
	if f != nil && !f.After {
		if err := q.applyFault(f, call); err != nil {
			return err
		}
	}
	if err := q.check(); err != nil {
		return err
	}
	if f != nil && f.After {
		q.response = fault.Discard // the action takes effect, and its response never arrives
	}
	if err := q.action.Do(q.writer(), q.sender); err != nil {
		q.refuse(err)
	}
	if call.Abort {
		q.recordUnanswered(call.Code)
		fault.CloseConnection()
	}
	if f != nil && f.After {
		q.response, call.Response = q.client, q.client
		return q.applyFault(f, call)
	}
	return nil
}

// readBody reads the body, except for services that stream it.
func (q *request) readBody() error {
	if _, ok := q.service.(service.BodyStreamer); ok {
		return nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(q.client, q.HTTP.Body, maxBody))
	if err != nil {
		return apierror.New("RequestEntityTooLarge", "The request is too large.")
	}
	q.Body = body
	return nil
}

func (q *request) parse() (err error) {
	if q.action, err = q.service.Parse(&q.Request); err != nil {
		return err
	}
	q.call.Action = q.action.Name()
	if a, ok := q.action.(service.Recorder); ok {
		q.call.Detail, q.call.Headers = a.Record()
	}
	return nil
}

// verify finds out who sent the request.
func (q *request) verify() error {
	err := q.lab.keys.CheckScope(q.HTTP, q.service.Name())
	if err != nil {
		return err
	}
	var principal sigv4.Principal
	if s, ok := q.service.(service.BodyStreamer); ok {
		principal, err = s.Verify(q.lab.keys, q.HTTP)
	} else {
		principal, err = q.lab.keys.Verify(q.HTTP, q.Body)
	}
	if err != nil {
		return err
	}
	q.call.Who = principal.ARN
	q.sender = service.Sender{Principal: principal,
		Allowed: func(need iam.Request) bool { return q.lab.allows(principal, need) }}
	return nil
}

// check refuses a call that exceeds a request limit, that the sender is not allowed to make, or that is about resources
// which are not visible yet.
func (q *request) check() error {
	if a, ok := q.action.(service.RateLimited); ok && !q.lab.limits.Allow(a.Cost()) {
		return service.ErrThrottled
	}
	for _, need := range q.action.Permissions() {
		if !q.sender.Allowed(need) {
			return &service.DeniedError{Sender: q.sender.Principal, Need: need}
		}
	}
	if a, ok := q.action.(service.EventuallyConsistent); ok && q.lab.options.Eventual > 0 {
		return a.NotVisibleYet(q.lab.options.Eventual)
	}
	return nil
}

// allows evaluates the policy of a user, or of a role: the role's own policies, if the role was created here, and the
// lab's.
func (l *Lab) allows(who sigv4.Principal, need iam.Request) bool {
	if who.Role == "" {
		return l.options.Policy.Allows(need)
	}
	allowed, known := l.iam.Allows(who.Role, need)
	return (allowed || !known) && l.options.RolePolicy.Allows(need)
}

func (q *request) faultCall() *fault.Call {
	_, streamed := q.service.(service.BodyStreamer)
	return &fault.Call{
		Request: &q.Request, Service: q.service.Name(), Action: q.action, Sender: q.sender, Streamed: streamed,
		Response: q.response,
		Record:   q.recordUnanswered,
	}
}

// applyFault applies a fault. The error it returns is the response that the fault asks for.
func (q *request) applyFault(f *fault.Fault, c *fault.Call) error {
	err := f.Effect.Apply(c)
	q.response, q.call.Code = c.Response, c.Code
	return err
}

// refuse answers with an error.
func (q *request) refuse(cause error) {
	e := q.service.Errors().For(cause)
	q.call.Code = e.Code
	q.service.WriteError(q.writer(), &q.Request, e)
}

// record adds the call to the lab's list, once.
func (q *request) record() {
	if !q.recorded {
		q.recorded = true
		q.lab.addCall(q.call)
	}
}

// recordUnanswered records the call as one that got no response.
func (q *request) recordUnanswered(code string) {
	q.call.Status, q.call.Code = 0, code
	q.record()
}

// writer returns where the response goes. It records the response's status.
func (q *request) writer() http.ResponseWriter { return &statusRecorder{q.response, &q.call.Status} }

type statusRecorder struct {
	http.ResponseWriter
	status *int
}

// Unwrap is for http.ResponseController.
func (w *statusRecorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *statusRecorder) WriteHeader(status int) {
	*w.status = status
	w.ResponseWriter.WriteHeader(status)
}

var _ http.Handler = (*Lab)(nil)
