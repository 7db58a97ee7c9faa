// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imds_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/imds"
)

func server(change func(*cloud.Instance)) *imds.Server {
	i := cloud.Instance{
		ID: "i-0123456789abcdef0", Region: "eu-west-1", Zone: "eu-west-1a", ImageID: "ami-1", Type: "t3.nano",
		PrivateIP: "172.31.0.9", MAC: "02:00:00:00:00:01",
		KeyName: "mine", PublicKey: "ssh-ed25519 AAAA mine", Profile: "bakery", ProfileID: "AIPA1", Role: "bakery",
		SecurityGroups: []string{"sg-1"}, UserData: []byte("#!/bin/sh\n"), RootDevice: "/dev/xvda",
		Tags:     cloud.Tags{"Name": "web"},
		Metadata: cloud.MetadataOptions{Tokens: "optional", Endpoint: "enabled", Tags: "enabled"},
	}
	if change != nil {
		change(&i)
	}
	return &imds.Server{
		Instance:    func() (cloud.Instance, bool) { return i, true },
		Groups:      func([]string) []string { return []string{"default"} },
		Credentials: func(string) imds.Credentials { return imds.Credentials{AccessKey: "ASIA1"} },
	}
}

func ask(s *imds.Server, method, path string, headers ...string) (int, string) {
	r, w := httptest.NewRequest(method, path, nil), httptest.NewRecorder()
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestPaths(t *testing.T) {
	s := server(nil)
	for _, c := range []struct {
		path   string
		status int
		want   string // contained
	}{
		{"/latest/user-data", 200, "#!/bin/sh\n"},
		{"/2021-03-23/meta-data/instance-id", 200, "i-0123456789abcdef0"},
		{"/2009-04-04/meta-data/", 200, "block-device-mapping/\n"},
		{"/latest/meta-data/public-keys/", 200, "0=mine"},
		{"/latest/meta-data/public-keys/0/openssh-key", 200, "ssh-ed25519 AAAA mine"},
		{"/latest/meta-data/local-hostname", 200, "ip-172-31-0-9.eu-west-1.compute.internal"},
		{"/latest/meta-data/network/interfaces/macs/", 200, "02:00:00:00:00:01/"},
		{"/latest/meta-data/iam/security-credentials/", 200, "bakery"},
		{"/latest/meta-data/iam/security-credentials/bakery", 200, "ASIA1"},
		{"/latest/meta-data/tags/instance/Name", 200, "web"},
		{"/latest/dynamic/instance-identity/document", 200, `"region": "eu-west-1"`},
		{"/latest/meta-data/none", 404, ""},
		{"/latest/meta-data/instance-id/more", 404, ""},
	} {
		if status, got := ask(s, http.MethodGet, c.path); status != c.status || !strings.Contains(got, c.want) {
			t.Errorf("%s: %d %q", c.path, status, got)
		}
	}
}

func TestUnknownPaths(t *testing.T) {
	s := server(func(i *cloud.Instance) { i.UserData, i.KeyName, i.Profile, i.Metadata.Tags = nil, "", "", "disabled" })
	for _, path := range []string{"user-data", "meta-data/public-keys/", "meta-data/iam/", "meta-data/tags/instance/"} {
		if status, _ := ask(s, http.MethodGet, "/latest/"+path); status != http.StatusNotFound {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const path, ttl, header = "/latest/meta-data/instance-id", "X-aws-ec2-metadata-token-ttl-seconds",
			"X-aws-ec2-metadata-token"
		s := server(func(i *cloud.Instance) { i.Metadata.Tokens = "required" })
		if status, _ := ask(s, http.MethodGet, path); status != http.StatusOK {
			t.Errorf("without a token where nspawn hides DMI: %d", status)
		}
		s.Strict = true
		if status, _ := ask(s, http.MethodGet, path); status != http.StatusUnauthorized {
			t.Errorf("without a token: %d", status)
		}
		for _, bad := range []string{"", "0", "21601", "x"} {
			if status, _ := ask(s, http.MethodPut, "/latest/api/token", ttl, bad); status != http.StatusBadRequest {
				t.Errorf("ttl %q: %d", bad, status)
			}
		}
		_, token := ask(s, http.MethodPut, "/latest/api/token", ttl, "60")
		if status, _ := ask(s, http.MethodGet, path, header, token); status != http.StatusOK {
			t.Errorf("with a token: %d", status)
		}
		if status, _ := ask(s, http.MethodGet, path, header, token+"0"); status != http.StatusUnauthorized {
			t.Errorf("with a wrong token: %d", status)
		}
		time.Sleep(time.Minute)
		if status, _ := ask(s, http.MethodGet, path, header, token); status != http.StatusUnauthorized {
			t.Errorf("with an old token: %d", status)
		}
	})
}

func TestDisabledEndpoint(t *testing.T) {
	s := server(func(i *cloud.Instance) { i.Metadata.Endpoint = "disabled" })
	if status, _ := ask(s, http.MethodGet, "/latest/user-data"); status != http.StatusForbidden {
		t.Errorf("%d", status)
	}
}
