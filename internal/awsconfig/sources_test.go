// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
)

// newVault starts a Vault that answers one path, and returns the body of the request it gets.
func newVault(t *testing.T, path, answer string) map[string]any {
	t.Helper()
	asked := map[string]any{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/"+path || r.Header.Get("X-Vault-Token") != "vault-token" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewDecoder(r.Body).Decode(&asked)
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	t.Setenv("VAULT_ADDR", server.URL)
	t.Setenv("VAULT_TOKEN", "vault-token")
	return asked
}

func TestVaultIsAskedWhenTheBuildBegins(t *testing.T) {
	const answer = `{"data":{"access_key":"AKID","secret_key":"secret","security_token":"session"}}`
	for name, c := range map[string]struct {
		engine VaultAWSEngine
		path   string
		asked  map[string]any
	}{
		"a role of the engine": {VaultAWSEngine{Name: "baker"}, "aws/creds/baker", map[string]any{}},
		"a role of AWS": {
			VaultAWSEngine{Name: "baker", RoleARN: "arn:role", TTL: "3600s", EngineName: "cloud"}, "cloud/sts/baker",
			map[string]any{"role_arn": "arn:role", "ttl": "3600s"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			isolateEnvironment(t)
			asked := newVault(t, c.path, answer)
			s := Settings{Region: "us-east-1", VaultAWSEngine: &c.engine}
			if errs := s.Prepare(); len(errs) > 0 {
				t.Fatal(errs)
			}
			cfg, err := s.Load(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			got, err := cfg.Credentials.Retrieve(t.Context())
			if err != nil || got.AccessKeyID != "AKID" || got.SecretAccessKey != "secret" ||
				got.SessionToken != "session" {
				t.Errorf("credentials %+v, error %v", got, err)
			}
			if diff := cmp.Diff(c.asked, asked); diff != "" {
				t.Errorf("asked with (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLoadFailsWhenVaultHasNoCredentials(t *testing.T) {
	for name, c := range map[string]struct{ path, answer, want string }{
		"no such role":      {"aws/creds/other", "", "no role \"baker\""},
		"something else":    {"aws/creds/baker", `{"data":{"token":"x"}}`, "no access_key"},
		"not even a secret": {"aws/creds/baker", `{`, "read the credentials of baker"},
		"no address at all": {"", "", "read the credentials of baker"},
		"no valid address":  {"-", "", "reach Vault"},
	} {
		t.Run(name, func(t *testing.T) {
			isolateEnvironment(t)
			newVault(t, c.path, c.answer)
			switch c.path {
			case "":
				t.Setenv("VAULT_ADDR", "http://127.0.0.1:1")
				t.Setenv("VAULT_MAX_RETRIES", "0")
			case "-":
				t.Setenv("VAULT_ADDR", "http://[::1")
			}
			s := Settings{Region: "us-east-1", VaultAWSEngine: &VaultAWSEngine{Name: "baker"}}
			_ = s.Prepare()
			if _, err := s.Load(t.Context(), 0); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

// newRefusingAWS starts an AWS that refuses EC2's calls with an encoded message, and decodes it when decodes is set. It
// returns its URL.
func newRefusingAWS(t *testing.T, decodes bool) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.FormValue("Action") != "DecodeAuthorizationMessage":
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are not "+
				"authorized. "+
				"Encoded authorization failure message: abc-DEF_1 (Service: "+
				"AmazonEC2)</Message></Error></Errors></Response>")
		case !decodes || r.FormValue("EncodedMessage") != "abc-DEF_1":
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(
				w,
				"<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>",
			)
		default:
			fmt.Fprint(w, "<DecodeAuthorizationMessageResponse><DecodeAuthorizationMessageResult><DecodedMessage>"+
				`{"allowed":false,"action":"ec2:RunInstances"}`+
				"</DecodedMessage></DecodeAuthorizationMessageResult></DecodeAuthorizationMessageResponse>")
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestEncodedMessagesAreDecoded(t *testing.T) {
	for name, c := range map[string]struct {
		asked, may bool
		want       string
	}{
		"with the setting": {
			true, true, `Authorization failure message: {"allowed":false,"action":"ec2:RunInstances"} (Service`,
		},
		"without the right":   {true, false, "Encoded authorization failure message: abc-DEF_1 (Service"},
		"without the setting": {false, true, "Encoded authorization failure message: abc-DEF_1 (Service"},
	} {
		t.Run(name, func(t *testing.T) {
			isolateEnvironment(t)
			t.Setenv("AWS_ENDPOINT_URL", newRefusingAWS(t, c.may))
			s := Settings{Region: "us-east-1", AccessKey: "a", SecretKey: "b", DecodeAuthZMessages: c.asked}
			_ = s.Prepare()
			cfg, err := s.Load(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			_, err = EC2(cfg, &s).DescribeImages(t.Context(), &ec2.DescribeImagesInput{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
			var api smithy.APIError
			if !errors.As(err, &api) || api.ErrorCode() != "UnauthorizedOperation" {
				t.Errorf("the error's code is lost: %v", err)
			}
		})
	}
}

func TestTheCodeOfAnMFADevice(t *testing.T) {
	for name, c := range map[string]struct {
		config string
		role   *AssumeRole
		want   map[string]string // of AssumeRole
		fails  string
	}{
		"for the role of the template": {
			"[default]\nmfa_serial = arn:mfa\n", &AssumeRole{RoleARN: "arn:role"},
			map[string]string{"RoleArn": "arn:role", "SerialNumber": "arn:mfa", "TokenCode": "123456",
				"DurationSeconds": "3600"}, "",
		},
		"for the role of the profile": {
			"[default]\nmfa_serial = arn:mfa\nrole_arn = arn:other\nsource_profile = base\n[profile base]\n" +
				"aws_access_key_id = a\naws_secret_access_key = b\n",
			nil, map[string]string{"RoleArn": "arn:other", "SerialNumber": "arn:mfa", "TokenCode": "123456",
				"DurationSeconds": "3600"}, "",
		},
		"without a device": {"", &AssumeRole{RoleARN: "arn:role"}, nil, "mfa_serial"},
	} {
		t.Run(name, func(t *testing.T) {
			isolateEnvironment(t)
			var asked map[string]string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked = map[string]string{}
				for _, key := range []string{"RoleArn", "SerialNumber", "TokenCode", "DurationSeconds"} {
					asked[key] = r.FormValue(key)
				}
				fmt.Fprint(
					w,
					"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>x</AccessKeyId>"+
						"<SecretAccessKey>y</SecretAccessKey>"+
						"<SessionToken>z</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"+
						"</AssumeRoleResult></AssumeRoleResponse>",
				)
			}))
			t.Cleanup(server.Close)
			file := filepath.Join(t.TempDir(), "config")
			if err := os.WriteFile(file, []byte(c.config), 0o600); err != nil {
				t.Fatal(err)
			}
			t.Setenv("AWS_CONFIG_FILE", file)
			// For roles of profiles, the SDK does not use AWS_ENDPOINT_URL.
			t.Setenv("AWS_ENDPOINT_URL_STS", server.URL)
			s := Settings{Region: "us-east-1", MFACode: "123456", AssumeRole: c.role}
			if c.role != nil {
				s.AccessKey, s.SecretKey = "a", "b"
			}
			_ = s.Prepare()
			cfg, err := s.Load(t.Context(), 0)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("error %v, want %q", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if _, err := cfg.Credentials.Retrieve(t.Context()); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, asked); diff != "" {
				t.Errorf("asked with (-want +got):\n%s", diff)
			}
		})
	}
}
