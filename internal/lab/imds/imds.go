// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package imds is the metadata service of one instance: user data, the meta-data tree, the identity document and the
// credentials of an instance profile, with and without IMDSv2 tokens. It may not know the machine that sends the
// requests.
package imds

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// maxTTL is the longest life of a token, six hours
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-data-retrieval.html).
const maxTTL = 21600

// Credentials of an instance profile's role.
type Credentials struct {
	AccessKey, SecretKey, Token string
	Updated, Expires            time.Time
}

// Server is the metadata service of one instance.
type Server struct {
	// Instance returns the instance as it is now.
	Instance func() (cloud.Instance, bool)
	// Groups returns the names of security groups with these ids.
	Groups func(ids []string) []string
	// Credentials returns credentials of an instance profile's role.
	Credentials func(role string) Credentials
	// Strict refuses requests without a token when the instance requires IMDSv2. It is off for machines of
	// systemd-nspawn: DMI is hidden from them, so their cloud-init does not detect EC2 and uses IMDSv1, whatever
	// HttpTokens is.
	Strict bool

	mu     sync.Mutex
	tokens map[string]time.Time // token: when it expires
}

// ServeHTTP implements http.Handler. The first element of the path is an API version; all versions are the same.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "EC2ws")
	i, ok := s.Instance()
	if !ok || i.Metadata.Endpoint == "disabled" {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if r.Method == http.MethodPut {
		s.issueToken(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	if !s.tokenIsValid(r, i) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	body, found := s.find(i, strings.FieldsFunc(r.URL.Path, func(c rune) bool { return c == '/' }))
	if !found {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // fails only when the machine is gone
}

func (s *Server) issueToken(w http.ResponseWriter, r *http.Request) {
	const header = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
	if !strings.HasSuffix(r.URL.Path, "/api/token") {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	ttl, err := strconv.Atoi(r.Header.Get(header))
	if err != nil || ttl < 1 || ttl > maxTTL {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if r.Header.Get("X-Forwarded-For") != "" { // as EC2, as a protection against open proxies
		w.WriteHeader(http.StatusForbidden)
		return
	}
	var b [28]byte
	_, _ = rand.Read(b[:])
	token := hex.EncodeToString(b[:])
	s.mu.Lock()
	if s.tokens == nil {
		s.tokens = map[string]time.Time{}
	}
	s.tokens[token] = time.Now().Add(time.Duration(ttl) * time.Second)
	s.mu.Unlock()
	w.Header().Set(header, strconv.Itoa(ttl))
	_, _ = w.Write([]byte(token))
}

func (s *Server) tokenIsValid(r *http.Request, i cloud.Instance) bool {
	token := r.Header.Get("X-Aws-Ec2-Metadata-Token")
	if token == "" {
		return i.Metadata.Tokens != "required" || !s.Strict
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.tokens[token])
}

// find returns what is at a path below the version.
func (s *Server) find(i cloud.Instance, path []string) ([]byte, bool) {
	if len(path) == 0 {
		return []byte("1.0\n2009-04-04\n2021-03-23\nlatest"), true
	}
	if len(path) == 1 {
		if i.UserData == nil {
			return []byte("dynamic\nmeta-data"), true
		}
		return []byte("dynamic\nmeta-data\nuser-data"), true
	}
	switch path[1] {
	case "user-data":
		return i.UserData, i.UserData != nil && len(path) == 2
	case "meta-data":
		return s.tree(i).lookUp(path[2:])
	case "dynamic":
		return dynamic(i).lookUp(path[2:])
	}
	return nil, false
}
