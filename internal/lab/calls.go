// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab

import (
	"slices"
	"time"
)

// Call is one request to a service, for tests and for people who wonder what a program did.
type Call struct {
	Time    time.Time `json:"time"`
	Service string    `json:"service"`
	Action  string    `json:"action"`
	Region  string    `json:"region,omitempty"`
	Who     string    `json:"who,omitempty"` // ARN of the sender
	Status  int       `json:"status"`        // 0: there was no response
	Code    string    `json:"code,omitempty"`
	Detail  string    `json:"detail,omitempty"` // S3: bucket/key; STS: the seconds of a session
	// Headers of S3: encryption, tags, metadata, the expected owner; nothing of the signature.
	Headers map[string]string `json:"headers,omitempty"`
}

func (l *Lab) addCall(c Call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, c)
}

// Calls returns all requests so far, in the order in which their handling ended.
func (l *Lab) Calls() []Call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.calls)
}

func (l *Lab) clearCalls() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = nil
}
