// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsconfig

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// startSTS starts an STS that lends credentials, or refuses sessions of more seconds than most. It returns the lengths
// of the sessions it was asked for.
func startSTS(t *testing.T, most string) *[]string {
	t.Helper()
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		action, length := r.FormValue("Action"), r.FormValue("DurationSeconds")
		asked = append(asked, length)
		if most != "" && len(length) >= len(most) && length > most {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, "<ErrorResponse><Error><Code>ValidationError</Code><Message>The requested DurationSeconds "+
				"exceeds the MaxSessionDuration set for this role.</Message></Error></ErrorResponse>")
			return
		}
		fmt.Fprintf(w, "<%[1]sResponse><%[1]sResult><Credentials><AccessKeyId>x</AccessKeyId><SecretAccessKey>y"+
			"</SecretAccessKey><SessionToken>z</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>"+
			"</Credentials></%[1]sResult></%[1]sResponse>", action)
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL_STS", server.URL)
	return &asked
}

// setProfiles sets the shared configuration file, with the key of the profile base.
func setProfiles(t *testing.T, text string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	text += "[profile base]\naws_access_key_id = a\naws_secret_access_key = b\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", file)
}

// A session that is not long enough is one with whose end the URLs of the machine end.
func TestSessionsOfRolesLastAsLongAsNeeded(t *testing.T) {
	const role = "role_arn = arn:aws:iam::123456789012:role/baker\n"
	keys := Settings{AccessKey: "a", SecretKey: "b"}
	ofTemplate := func(seconds int) Settings {
		s := keys
		s.AssumeRole = &AssumeRole{RoleARN: "arn:aws:iam::123456789012:role/baker", DurationSeconds: seconds}
		return s
	}
	for name, c := range map[string]struct {
		settings Settings
		profiles string
		token    bool // of an identity provider
		need     time.Duration
		want     []string
	}{
		"of the template":                       {ofTemplate(0), "", false, 0, []string{"3600"}},
		"of the template, just an hour":         {ofTemplate(0), "", false, time.Hour, []string{"3600"}},
		"of the template, long":                 {ofTemplate(0), "", false, 2 * time.Hour, []string{"7500"}},
		"of the template, longer than possible": {ofTemplate(0), "", false, 24 * time.Hour, []string{"43200"}},
		"of the template, with its length":      {ofTemplate(900), "", false, 2 * time.Hour, []string{"900"}},
		"of a profile": {
			Settings{}, "[default]\nsource_profile = base\n" + role, false, 0, []string{"3600"},
		},
		"of a profile, long": {
			Settings{}, "[default]\nsource_profile = base\n" + role, false, 2 * time.Hour, []string{"7500"},
		},
		"of a profile, with its length": {
			Settings{}, "[default]\nsource_profile = base\nduration_seconds = 1800\n" + role, false, 2 * time.Hour,
			[]string{"1800"},
		},
		"of a role of a profile": {
			Settings{},
			"[default]\nsource_profile = other\n" + role + "[profile other]\nsource_profile = base\n" + role,
			false, 0, []string{"3600", "3600"},
		},
		"of the template, after that of a profile": {
			Settings{AssumeRole: ofTemplate(0).AssumeRole}, "[default]\nsource_profile = base\n" + role, false, 0,
			[]string{"3600", "3600"},
		},
		"with a token":       {Settings{}, "", true, 0, []string{"3600"}},
		"with a token, long": {Settings{}, "", true, 2 * time.Hour, []string{"7500"}},
		"with the code of a user": {withCode(ofTemplate(0)), "[default]\nmfa_serial = arn:mfa\n", false, 2 * time.Hour,
			[]string{"7500"}},
	} {
		t.Run(name, func(t *testing.T) {
			isolateEnvironment(t)
			asked := startSTS(t, "")
			setProfiles(t, c.profiles)
			if c.token {
				file := filepath.Join(t.TempDir(), "token")
				if err := os.WriteFile(file, []byte("a.b.c"), 0o600); err != nil {
					t.Fatal(err)
				}
				t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file)
				t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/baker")
			}
			s := c.settings
			s.Region = "us-east-1"
			if errs := s.Prepare(); errs != nil {
				t.Fatal(errs)
			}
			cfg, err := s.Load(t.Context(), c.need)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := cfg.Credentials.Retrieve(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, *asked); diff != "" {
				t.Errorf("the sessions that STS was asked for last (-want +got):\n%s", diff)
			}
		})
	}
}

func withCode(s Settings) Settings {
	s.MFACode = "123456"
	return s
}

func TestTooLongSessionsAreTold(t *testing.T) {
	isolateEnvironment(t)
	asked := startSTS(t, "3600")
	s := Settings{Region: "us-east-1", AccessKey: "a", SecretKey: "b", MaxRetries: 1,
		AssumeRole: &AssumeRole{RoleARN: "arn:aws:iam::123456789012:role/baker"}}
	cfg, err := s.Load(t.Context(), 2*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, err = cfg.Credentials.Retrieve(t.Context())
	if RefusedSession(err) == nil || !strings.Contains(err.Error(), "MaxSessionDuration") ||
		!slices.Equal(*asked, []string{"7500"}) {
		t.Errorf("asked for %v: %v", *asked, err)
	}
}
