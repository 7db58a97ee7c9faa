// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package sigv4 finds out who signed a request to the lab, and refuses what AWS would refuse: unknown keys, wrong
// secrets, old signatures. It may not know the services, which report its errors in their own words.
//
// Requests to EC2, IAM, SSM and STS are signed again with the SDK's signer, and the signatures are compared. S3 has
// rules of its own for paths, payloads and presigned URLs, which rclone/gofakes3/signature checks.
package sigv4

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/rclone/gofakes3/signature"
)

// VerificationError is why a request is refused. Callers map it to an error code of their service.
type VerificationError string

func (e VerificationError) Error() string { return string(e) }

// The reasons to refuse a request.
const (
	ErrMissing    VerificationError = "request is not signed"
	ErrIncomplete VerificationError = "signature is incomplete or malformed"
	ErrUnknownKey VerificationError = "access key is not known"
	ErrMismatch   VerificationError = "signature does not match"
	ErrExpired    VerificationError = "signature has expired"
	ErrEarly      VerificationError = "signature is not valid yet"
	ErrSkewed     VerificationError = "date of the S3 request differs too much from the current time"
	ErrScope      VerificationError = "signature is for another service or a region that does not exist"
	ErrSession    VerificationError = "session of the credentials has expired"
	ErrHeader     VerificationError = "header must be signed"
)

// init disables the comparison of times in gofakes3, which uses the clock of this process. Each lab has a clock of its
// own, so Keys compares times.
func init() { signature.TimeNow = func() time.Time { return time.Time{} } }

// skew is how far a request's date may be from now, as on AWS for signatures in headers.
const skew = 15 * time.Minute

// dateFormat of X-Amz-Date.
const dateFormat = "20060102T150405Z"

// Principal is the user or role session that an access key belongs to.
type Principal struct {
	ARN    string // arn:aws:iam::123456789012:user/bakery, or an assumed role's
	UserID string
	Role   string // the role of a session, from an instance profile or AssumeRole; "" for a user
}

// Keys are the access keys that the lab accepts. Safe for use by several goroutines.
type Keys struct {
	Skew    time.Duration // how far the clock for signatures is ahead
	URLLife time.Duration // the longest life of presigned URLs; 0: as long as they say
	Regions []string      // that a signature may be for; empty: any

	mu   sync.RWMutex
	keys map[string]key
}

type key struct {
	secret  string
	who     Principal
	session Session
}

// Session is what temporary credentials have besides their keys. The zero value is that of permanent ones.
type Session struct {
	Token   string
	Expires time.Time
}

// Add accepts an access key from now on.
func (k *Keys) Add(access, secret string, who Principal) {
	k.AddSession(access, secret, Session{}, who)
}

// AddSession accepts an access key from now on, together with the token of its session, until that expires.
func (k *Keys) AddSession(access, secret string, session Session, who Principal) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys == nil {
		k.keys = map[string]key{}
	}
	k.keys[access] = key{secret, who, session}
}

// claimedKey returns the scope of a request's signature and the access key in it.
func (k *Keys) claimedKey(r *http.Request) (Scope, key, error) {
	s, err := ReadScope(r)
	if err != nil {
		return s, key{}, err
	}
	k.mu.RLock()
	defer k.mu.RUnlock()
	known, ok := k.keys[s.AccessKey]
	token := cmp.Or(r.Header.Get(tokenName), r.URL.Query().Get(tokenName))
	if !ok || known.session.Token != "" && token != known.session.Token {
		return s, key{}, ErrUnknownKey
	}
	return s, known, nil
}

// tokenName is the name of the header or the parameter that has the token of a session.
const tokenName = "X-Amz-Security-Token" //nolint:gosec // the name of a token is no token

// authenticate returns who has signed a request with a key, unless the key's session has expired.
func (k *Keys) authenticate(known key) (Principal, error) {
	if end := known.session.Expires; !end.IsZero() && !k.Now().Before(end) {
		return Principal{}, ErrSession
	}
	return known.who, nil
}

// Scope is the scope of a signature that has not been checked yet.
type Scope struct {
	AccessKey, Date, Region, Service string
	SignedHeaders                    []string
	Signature                        string
	Presigned                        bool
}

// ReadScope reads the scope from the Authorization header or the query. It returns ErrMissing when there is none.
func ReadScope(r *http.Request) (Scope, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		return headerScope(header)
	}
	q := r.URL.Query()
	if q.Get("X-Amz-Credential") == "" {
		return Scope{}, ErrMissing
	}
	s, err := credential(q.Get("X-Amz-Credential"))
	s.SignedHeaders, s.Signature, s.Presigned = strings.Split(q.Get("X-Amz-SignedHeaders"),
		";"), q.Get("X-Amz-Signature"), true
	return s, err
}

func headerScope(header string) (Scope, error) {
	rest, ok := strings.CutPrefix(header, "AWS4-HMAC-SHA256 ")
	if !ok {
		return Scope{}, ErrIncomplete
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	s, err := credential(fields["Credential"])
	s.SignedHeaders, s.Signature = strings.Split(fields["SignedHeaders"], ";"), fields["Signature"]
	return s, err
}

// credential parses KEY/20261121/us-east-1/ec2/aws4_request.
func credential(text string) (Scope, error) {
	p := strings.Split(text, "/")
	if len(p) != 5 || p[4] != "aws4_request" || p[0] == "" {
		return Scope{}, ErrIncomplete
	}
	return Scope{AccessKey: p[0], Date: p[1], Region: p[2], Service: p[3]}, nil
}

// Verify checks the signature in the header of a request with this body, and returns who sent it.
func (k *Keys) Verify(r *http.Request, body []byte) (Principal, error) {
	s, known, err := k.claimedKey(r)
	if err != nil {
		return Principal{}, err
	}
	at, err := time.Parse(dateFormat, r.Header.Get("X-Amz-Date"))
	if err != nil || s.Presigned {
		return Principal{}, ErrIncomplete
	}
	switch age := k.Now().Sub(at); {
	case age > skew:
		return Principal{}, ErrExpired
	case age < -skew:
		return Principal{}, ErrEarly
	}
	want, err := resign(r, s, known.secret, body, at)
	if err != nil || subtle.ConstantTimeCompare([]byte(want), []byte(s.Signature)) != 1 {
		return Principal{}, ErrMismatch
	}
	return k.authenticate(known)
}

// Now returns the time of the clock for signatures.
func (k *Keys) Now() time.Time { return time.Now().Add(k.Skew) }

// CheckScope returns ErrScope when the signature is for another service, or for a region that does not exist.
func (k *Keys) CheckScope(r *http.Request, service string) error {
	s, err := ReadScope(r)
	if err != nil {
		return err
	}
	if s.Service != service || len(k.Regions) > 0 && !slices.Contains(k.Regions, s.Region) {
		return ErrScope
	}
	return nil
}

// resign returns the signature that the request has when its sender has the secret.
func resign(r *http.Request, s Scope, secret string, body []byte, at time.Time) (string, error) {
	again := &http.Request{
		Method: r.Method, Host: r.Host, Header: http.Header{},
		URL: &url.URL{Scheme: "http", Host: r.Host, Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: r.URL.RawQuery},
	}
	for _, name := range s.SignedHeaders {
		switch name {
		case "host":
		case "content-length":
			again.ContentLength = r.ContentLength
		default:
			again.Header[http.CanonicalHeaderKey(name)] = r.Header.Values(name)
		}
	}
	sum := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: s.AccessKey, SecretAccessKey: secret}
	err := v4.NewSigner().SignHTTP(context.Background(), creds, again, hex.EncodeToString(sum[:]), s.Service, s.Region,
		at)
	if err != nil {
		return "", err
	}
	signed, err := headerScope(again.Header.Get("Authorization"))
	return signed.Signature, err
}

// maxURLLife is the longest life of presigned URLs on AWS.
const maxURLLife = 7 * 24 * time.Hour

// checkTime compares the date of an S3 request with the clock.
func (k *Keys) checkTime(r *http.Request, presigned bool) error {
	if !presigned {
		at, err := time.Parse(dateFormat, cmp.Or(r.Header.Get("X-Amz-Date"), r.Header.Get("Date")))
		switch {
		case err != nil:
			return ErrIncomplete
		case k.Now().Sub(at).Abs() > skew:
			return ErrSkewed
		}
		return nil
	}
	q := r.URL.Query()
	at, err := time.Parse(dateFormat, q.Get("X-Amz-Date"))
	seconds, bad := strconv.Atoi(q.Get("X-Amz-Expires"))
	life := time.Duration(seconds) * time.Second
	if err != nil || bad != nil || seconds < 1 || life > maxURLLife {
		return ErrIncomplete
	}
	if k.URLLife > 0 {
		life = min(life, k.URLLife)
	}
	switch age := k.Now().Sub(at); {
	case age > life:
		return ErrExpired
	case age < -skew:
		return ErrEarly
	}
	return nil
}

// VerifyS3 checks the signature of an S3 request, in its header or in its URL, and returns who sent it. It does not
// read the body, whose checksum is part of what is signed.
func (k *Keys) VerifyS3(r *http.Request) (Principal, error) {
	s, known, err := k.claimedKey(r)
	if err != nil {
		return Principal{}, err
	}
	if err := k.checkTime(r, s.Presigned); err != nil {
		return Principal{}, err
	}
	if r.Header.Get("Content-MD5") != "" && !slices.Contains(s.SignedHeaders, "content-md5") {
		return Principal{}, ErrHeader
	}
	code := signature.V4SignVerifyWithSecret(r, known.secret)
	if code == signature.ErrNone {
		return k.authenticate(known)
	}
	// The codes of package signature have no exported names, only these texts.
	switch e := signature.GetAPIError(code); {
	case e.Code == "SignatureDoesNotMatch":
		return Principal{}, ErrMismatch
	case strings.Contains(e.Description, "not signed"):
		return Principal{}, ErrMismatch
	}
	return Principal{}, ErrIncomplete
}
