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
	"strconv"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/awsquery"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/model"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/sigv4"
)

var table = model.MustLoad("sts")

// namespace of the XML of every response.
const namespace = "https://sts.amazonaws.com/doc/2011-06-15/"

// Server is the STS of an account.
type Server struct {
	Account string
	Keys    *sigv4.Keys // accepts the credentials that Server issues
	// MaxSession returns the longest session of a role.
	MaxSession func(role string) time.Duration
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

// Record implements service.Recorder: a session is about how many seconds it was asked for.
func (a *action) Record() (string, map[string]string) { return a.Get("DurationSeconds"), nil }

func (a *action) Do(w http.ResponseWriter, sender service.Sender) error {
	if err := a.Check(table); err != nil {
		return err
	}
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
		return s.assumeRole(form, sender)
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

func (s *Server) assumeRole(form url.Values, sender sigv4.Principal) (assumeRoleResult, error) {
	var result assumeRoleResult
	role, session := form.Get("RoleArn"), form.Get("RoleSessionName")
	arn, name, ok := strings.Cut(role, ":role/")
	if !strings.HasPrefix(arn, "arn:aws:iam::") || !ok || session == "" {
		return result, apierror.New("ValidationError", "RoleArn or RoleSessionName is not valid")
	}
	life, err := s.sessionLength(form.Get("DurationSeconds"), name, sender)
	if err != nil {
		return result, err
	}
	c, principal := IssueCredentials(s.Keys, s.Account, name, session, life)
	result.Credentials.AccessKeyID, result.Credentials.SecretAccessKey = c.AccessKey, c.SecretKey
	result.Credentials.SessionToken = c.Token
	result.Credentials.Expiration = c.Expires.UTC().Format(time.RFC3339)
	result.AssumedRoleUser.ID, result.AssumedRoleUser.ARN = principal.UserID, principal.ARN
	return result, nil
}

// The limits of DurationSeconds, and its default, which is also the longest session that the credentials of another
// role get: https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html.
const (
	leastSeconds   = 900
	mostSeconds    = 43200
	defaultSession = time.Hour
)

// sessionLength returns how long a session of a role lasts, as it was asked for.
func (s *Server) sessionLength(asked, role string, sender sigv4.Principal) (time.Duration, error) {
	if asked == "" {
		return defaultSession, nil
	}
	n, err := strconv.Atoi(asked)
	if err != nil || n < leastSeconds || n > mostSeconds {
		return 0, apierror.Errorf("ValidationError", "1 validation error detected: Value '%s' at 'durationSeconds' "+
			"failed to satisfy constraint: Member must have value between %d and %d", asked, leastSeconds, mostSeconds)
	}
	life := time.Duration(n) * time.Second
	name := role[strings.LastIndex(role, "/")+1:] // without the path
	switch {
	case life > defaultSession && sender.Role != "":
		return 0, apierror.New("ValidationError",
			"The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	case life > s.MaxSession(name):
		return 0, apierror.New("ValidationError",
			"The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	}
	return life, nil
}

// Credentials are temporary credentials.
type Credentials struct {
	AccessKey, SecretKey, Token string
	Expires                     time.Time
}

// IssueCredentials creates credentials for a session of a role, which keys accept from now on, for as long as the
// session lasts.
func IssueCredentials(
	keys *sigv4.Keys, account, role, session string, life time.Duration,
) (Credentials, sigv4.Principal) {
	c := Credentials{"ASIA" + strings.ToUpper(random(8)), random(20), random(32), keys.Now().Add(life)}
	principal := sigv4.Principal{
		ARN: "arn:aws:sts::" + account + ":assumed-role/" + role + "/" + session, UserID: "AROALAB:" + session,
		Role: role,
	}
	keys.AddSession(c.AccessKey, c.SecretKey, sigv4.Session{Token: c.Token, Expires: c.Expires}, principal)
	return c, principal
}

// random returns n random bytes in hexadecimal.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
