// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package sts is the AWS Security Token Service of the lab: it says who sent a request and issues temporary credentials
// for a role. It may not know signatures or policies; the caller has checked both.
package sts

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/awsquery"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
)

// namespace of the XML of every response.
const namespace = "https://sts.amazonaws.com/doc/2011-06-15/"

// Server is the STS of an account.
type Server struct {
	Account string
	Keys    *sigv4.Keys // accepts the credentials that Server issues
}

// Name implements service.Service, as do Parse, Errors and WriteError.
func (s *Server) Name() string { return service.STS }

// Parse reads the form of a request.
func (s *Server) Parse(r *service.Request) (service.Action, error) {
	form, err := awsquery.Parse(r.Body)
	return &action{form, s}, err
}

// Errors returns how STS reports errors.
func (s *Server) Errors() *service.Errors { return &stsErrors }

// WriteError answers with an error as XML.
func (s *Server) WriteError(w http.ResponseWriter, _ *service.Request, e *apierror.Error) {
	awsquery.WriteError(w, namespace, stsErrors.Status(e.Code), e)
}

// action is one request.
type action struct {
	awsquery.Form
	server *Server
}

// Permissions are none for GetCallerIdentity: AWS answers it to everybody.
func (a *action) Permissions() []iam.Request {
	if a.Name() == "GetCallerIdentity" {
		return nil
	}
	return []iam.Request{{Action: "sts:" + a.Name(), Resource: cmp.Or(a.Get("RoleArn"), "*")}}
}

func (a *action) Do(w http.ResponseWriter, sender service.Sender) error {
	result, err := a.server.do(a.Name(), a.Values, sender.Principal)
	if err != nil {
		return err
	}
	return awsquery.Write(w, namespace, a.Name(), result)
}

// do runs an action and returns its result.
func (s *Server) do(action string, form url.Values, sender sigv4.Principal) (any, error) {
	switch action {
	case "GetCallerIdentity":
		type identity struct{ Arn, UserId, Account string } //nolint:revive,staticcheck // element names
		return identity{sender.ARN, sender.UserID, s.Account}, nil
	case "AssumeRole":
		return s.assumeRole(form)
	case "DecodeAuthorizationMessage":
		message, err := base64.RawURLEncoding.DecodeString(form.Get("EncodedMessage"))
		if err != nil {
			return nil, apierror.New("InvalidAuthorizationMessageException", "Message is not valid")
		}
		return struct{ DecodedMessage string }{string(message)}, nil
	}
	return nil, apierror.New("InvalidAction", "Could not find operation "+action+" for version 2011-06-15")
}

// EncodeAuthorizationMessage returns the encoded message of a denied request, which DecodeAuthorizationMessage decodes.
func EncodeAuthorizationMessage(action string) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil,
		`{"allowed":false,"explicitDeny":false,"context":{"action":%q}}`, action))
}

type assumeRoleResult struct {
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

func (s *Server) assumeRole(form url.Values) (assumeRoleResult, error) {
	var result assumeRoleResult
	role, session := form.Get("RoleArn"), form.Get("RoleSessionName")
	arn, name, ok := strings.Cut(role, ":role/")
	if !strings.HasPrefix(arn, "arn:aws:iam::") || !ok || session == "" {
		return result, apierror.New("ValidationError", "RoleArn or RoleSessionName is not valid")
	}
	c, principal := IssueCredentials(s.Keys, s.Account, name, session)
	result.Credentials.AccessKeyID, result.Credentials.SecretAccessKey = c.AccessKey, c.SecretKey
	result.Credentials.SessionToken = c.Token
	result.Credentials.Expiration = time.Now().UTC().Add(time.Hour).Format(time.RFC3339)
	result.AssumedRoleUser.ID, result.AssumedRoleUser.ARN = principal.UserID, principal.ARN
	return result, nil
}

// Credentials are temporary credentials.
type Credentials struct{ AccessKey, SecretKey, Token string }

// IssueCredentials creates credentials for a session of a role, which keys accept from now on.
func IssueCredentials(keys *sigv4.Keys, account, role, session string) (Credentials, sigv4.Principal) {
	c := Credentials{"ASIA" + strings.ToUpper(random(8)), random(20), random(32)}
	principal := sigv4.Principal{
		ARN: "arn:aws:sts::" + account + ":assumed-role/" + role + "/" + session, UserID: "AROALAB:" + session,
		Role: role,
	}
	keys.Add(c.AccessKey, c.SecretKey, principal)
	return c, principal
}

// random returns n random bytes in hexadecimal.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
