// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package iamapi keeps roles, their inline policies and instance profiles, as AWS Identity and Access Management
// does in its query protocol. It knows no HTTP and no EC2; signatures are the caller's business, and package iam
// says what a policy document allows.
package iamapi

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// Error is a refusal, with the code as IAM spells it
// (https://docs.aws.amazon.com/IAM/latest/APIReference/CommonErrors.html, and each action's own page).
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Code + ": " + e.Message }

type action func(*Store, url.Values) (any, error)

var actions = map[string]action{
	"CreateRole":                    createRole,
	"GetRole":                       getRole,
	"ListRoles":                     listRoles,
	"ListRoleTags":                  listRoleTags,
	"DeleteRole":                    deleteRole,
	"PutRolePolicy":                 putRolePolicy,
	"GetRolePolicy":                 getRolePolicy,
	"ListRolePolicies":              listRolePolicies,
	"DeleteRolePolicy":              deleteRolePolicy,
	"ListAttachedRolePolicies":      listAttachedRolePolicies,
	"ListInstanceProfilesForRole":   listInstanceProfilesForRole,
	"CreateInstanceProfile":         createInstanceProfile,
	"GetInstanceProfile":            getInstanceProfile,
	"ListInstanceProfiles":          listInstanceProfiles,
	"DeleteInstanceProfile":         deleteInstanceProfile,
	"AddRoleToInstanceProfile":      addRoleToInstanceProfile,
	"RemoveRoleFromInstanceProfile": removeRoleFromInstanceProfile,
}

// Known says whether the lab has an action of this name.
func Known(name string) bool { return actions[name] != nil }

// Do runs one action and returns the response's document. An error is an *Error where IAM would refuse.
func (s *Store) Do(name string, form url.Values) ([]byte, error) {
	do := actions[name]
	if do == nil {
		return nil, &Error{"InvalidAction", "Could not find operation " + name + " for version 2010-05-08"}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	result, err := do(s, form)
	if err != nil {
		return nil, err
	}
	return document(name, result)
}

const namespace = "https://iam.amazonaws.com/doc/2010-05-08/"

// done is the result of actions that have nothing to say.
var done any = struct{}{}

// document is the answer; one without a result has no element for it.
func document(name string, result any) ([]byte, error) {
	var body bytes.Buffer
	if result != done {
		start := xml.StartElement{Name: xml.Name{Local: name + "Result"}}
		if err := xml.NewEncoder(&body).EncodeElement(result, start); err != nil {
			return nil, fmt.Errorf("encode the answer to %s: %w", name, err)
		}
	}
	return fmt.Appendf(nil, "<%sResponse xmlns=%q>%s<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>",
		name, namespace, body.Bytes(), random(16), name), nil
}

// Refusal is the status and the XML of an error.
func Refusal(err error) (int, []byte) {
	refused := &Error{"ServiceFailure", err.Error()}
	errors.As(err, &refused)
	type response struct {
		XMLName   xml.Name `xml:"https://iam.amazonaws.com/doc/2010-05-08/ ErrorResponse"`
		Type      string   `xml:"Error>Type"`
		Code      string   `xml:"Error>Code"`
		Message   string   `xml:"Error>Message"`
		RequestID string   `xml:"RequestId"`
	}
	b, _ := xml.Marshal(response{Type: "Sender", Code: refused.Code, Message: refused.Message, RequestID: random(16)})
	return Status(refused.Code), b
}

// Status of an error code: 400 but for these.
func Status(code string) int {
	switch code {
	case "NoSuchEntity":
		return http.StatusNotFound
	case "EntityAlreadyExists", "DeleteConflict", "LimitExceeded", "ConcurrentModification", "EntityTemporarilyUnmodifiable":
		return http.StatusConflict
	case "AccessDenied", "ExpiredToken", "InvalidClientTokenId", "MissingAuthenticationToken", "SignatureDoesNotMatch", "OptInRequired":
		return http.StatusForbidden
	case "ServiceFailure", "InternalFailure":
		return http.StatusInternalServerError
	case "ServiceUnavailable":
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// newID is an id as IAM makes them: AROA and the like, and 17 letters and digits.
func newID(prefix string) string { return prefix + strings.ToUpper(random(9))[:17] }

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
