// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package sts answers who somebody is and lends credentials of a role, as the AWS Security Token
// Service does in its query protocol. It knows no HTTP; signatures and policies are the caller's business.
package sts

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
)

// Error is a refusal, with the code as STS spells it.
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Server answers STS calls.
type Server struct {
	Account string
	Keys    *sigv4.Keys // where the credentials it lends are made known
}

// Known says whether the lab has an action of this name.
func Known(action string) bool {
	return slices.Contains([]string{"GetCallerIdentity", "AssumeRole", "DecodeAuthorizationMessage"}, action)
}

// Do runs one action and returns the response's document.
func (s *Server) Do(action string, form url.Values, who sigv4.Principal) ([]byte, error) {
	var result any
	switch action {
	case "GetCallerIdentity":
		result = struct{ Arn, UserId, Account string }{who.ARN, who.UserID, s.Account} //nolint:revive,staticcheck // element names
	case "AssumeRole":
		r, err := s.assume(form)
		if err != nil {
			return nil, err
		}
		result = r
	case "DecodeAuthorizationMessage":
		b, err := base64.RawURLEncoding.DecodeString(form.Get("EncodedMessage"))
		if err != nil {
			return nil, &Error{"InvalidAuthorizationMessageException", "Message is not valid"}
		}
		result = struct{ DecodedMessage string }{string(b)}
	default:
		return nil, &Error{"InvalidAction", "Could not find operation " + action + " for version 2011-06-15"}
	}
	return document(action, result)
}

// Encode makes the message that a refusal carries and DecodeAuthorizationMessage opens again.
func Encode(action string) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"allowed":false,"explicitDeny":false,"context":{"action":%q}}`, action))
}

type assumed struct {
	Credentials struct {
		AccessKeyID     string `xml:"AccessKeyId"`
		SecretAccessKey string
		SessionToken    string
		Expiration      string
	}
	AssumedRoleUser struct {
		ID  string `xml:"AssumedRoleId"`
		ARN string `xml:"Arn"`
	}
}

func (s *Server) assume(form url.Values) (assumed, error) {
	var a assumed
	role, session := form.Get("RoleArn"), form.Get("RoleSessionName")
	arn, name, ok := strings.Cut(role, ":role/")
	if !strings.HasPrefix(arn, "arn:aws:iam::") || !ok || session == "" {
		return a, &Error{"ValidationError", "RoleArn or RoleSessionName is not valid"}
	}
	c, who := Lend(s.Keys, s.Account, name, session)
	a.Credentials.AccessKeyID, a.Credentials.SecretAccessKey, a.Credentials.SessionToken = c.AccessKey, c.SecretKey, c.Token
	a.Credentials.Expiration = time.Now().UTC().Add(time.Hour).Format(time.RFC3339)
	a.AssumedRoleUser.ID, a.AssumedRoleUser.ARN = who.UserID, who.ARN
	return a, nil
}

// Credentials that were lent.
type Credentials struct{ AccessKey, SecretKey, Token string }

// Lend makes credentials of a role's session and makes them known.
func Lend(keys *sigv4.Keys, account, role, session string) (Credentials, sigv4.Principal) {
	c := Credentials{"ASIA" + strings.ToUpper(random(8)), random(20), random(32)}
	who := sigv4.Principal{ARN: "arn:aws:sts::" + account + ":assumed-role/" + role + "/" + session, UserID: "AROALAB:" + session, Role: role}
	keys.Add(c.AccessKey, c.SecretKey, who)
	return c, who
}

func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

const namespace = "https://sts.amazonaws.com/doc/2011-06-15/"

func document(action string, result any) ([]byte, error) {
	var body bytes.Buffer
	if err := xml.NewEncoder(&body).EncodeElement(result, xml.StartElement{Name: xml.Name{Local: action + "Result"}}); err != nil {
		return nil, fmt.Errorf("encode the answer to %s: %w", action, err)
	}
	return fmt.Appendf(nil, "<%sResponse xmlns=%q>%s<ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata></%sResponse>",
		action, namespace, body.Bytes(), random(16), action), nil
}

// Refusal is the XML of an error.
func Refusal(err error) []byte {
	refused := &Error{"InternalFailure", err.Error()}
	errors.As(err, &refused)
	type response struct {
		XMLName   xml.Name `xml:"https://sts.amazonaws.com/doc/2011-06-15/ ErrorResponse"`
		Type      string   `xml:"Error>Type"`
		Code      string   `xml:"Error>Code"`
		Message   string   `xml:"Error>Message"`
		RequestID string   `xml:"RequestId"`
	}
	b, _ := xml.Marshal(response{Type: "Sender", Code: refused.Code, Message: refused.Message, RequestID: random(16)})
	return b
}
