// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package fault

import (
	"io"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
)

// Answer answers with the service's error for a cause.
type Answer struct{ Cause error }

// Apply implements Effect, as do all methods of this name.
func (a Answer) Apply(c *Call) error { return answer(c, a.Cause) }

// AnswerCode answers with an error code.
type AnswerCode struct{ Code string }

// Apply returns the code.
func (a AnswerCode) Apply(c *Call) error { return answer(c, service.CodeError(a.Code)) }

// Deny answers that the sender is not allowed to do the action.
type Deny struct{}

// Apply returns what the sender would have to be allowed.
func (Deny) Apply(c *Call) error {
	return answer(c, &service.DeniedError{
		Sender: c.Sender.Principal, Need: iam.Request{Action: c.Service + ":" + c.Action.Name(), Resource: "*"},
	})
}

// Expire answers that the credentials have expired, or the presigned URL.
type Expire struct{}

// Apply returns what has expired.
func (Expire) Apply(c *Call) error {
	if c.Presigned {
		return answer(c, sigv4.ErrExpired)
	}
	return answer(c, service.ErrCredentialsExpired)
}

// ExceedQuota answers that the account has as many as it may have of what the action creates.
type ExceedQuota struct{}

// Apply returns the quota.
func (ExceedQuota) Apply(c *Call) error {
	return answer(c, service.QuotaError{Action: c.Action.Name()})
}

// answer returns the cause. A client that uploads to S3 gets its answer only when its whole body has been read:
// otherwise the answer is lost in the broken connection. Bodies of other services have been read already.
func answer(c *Call, cause error) error {
	_, _ = io.Copy(io.Discard, c.HTTP.Body)
	return cause
}
