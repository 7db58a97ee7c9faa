// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsconfig

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/placeholder"
)

// isolateEnvironment hides the AWS account of the person who runs the tests.
func isolateEnvironment(t *testing.T) {
	t.Helper()
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
			_ = os.Unsetenv(name)
		}
	}
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", os.DevNull)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
}

const role = "arn:aws:iam::123456789012:role/baker"

func TestPrepareRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		settings Settings
		want     []string
	}{
		"an access key alone":    {Settings{AccessKey: "x"}, []string{"access_key and secret_key"}},
		"a secret key alone":     {Settings{SecretKey: "x"}, []string{"access_key and secret_key"}},
		"a token alone":          {Settings{Token: "x"}, []string{"token belongs"}},
		"negative retries":       {Settings{MaxRetries: -1}, []string{"max_retries"}},
		"a role without its ARN": {Settings{AssumeRole: &AssumeRole{}}, []string{"role_arn"}},
		"a role for a minute": {Settings{AssumeRole: &AssumeRole{RoleARN: role, DurationSeconds: 60}},
			[]string{"900"}},
		"a role for ever": {Settings{AssumeRole: &AssumeRole{RoleARN: role, DurationSeconds: 86400}},
			[]string{"43200"}},
		"a role by its name": {Settings{AssumeRole: &AssumeRole{RoleARN: "baker"}},
			[]string{`role_arn is "baker"; it must be the ARN`}},
		"the ARN of a user": {Settings{AssumeRole: &AssumeRole{RoleARN: "arn:aws:iam::123456789012:user/baker"}},
			[]string{"role_arn is"}},
		"a session's name with a space": {Settings{AssumeRole: &AssumeRole{RoleARN: role, SessionName: "a b"}},
			[]string{`session_name is "a b"; it must have 2 to 64`}},
		"a session's name of one letter": {Settings{AssumeRole: &AssumeRole{RoleARN: role, SessionName: "a"}},
			[]string{"session_name"}},
		"several things together": {Settings{AccessKey: "x", MaxRetries: -1, AssumeRole: &AssumeRole{}},
			[]string{"access_key", "max_retries", "role_arn"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := errors.Join(c.settings.Prepare()...)
			for _, want := range c.want {
				if got == nil || !strings.Contains(got.Error(), want) {
					t.Errorf("the error is %v, want %q in it", got, want)
				}
			}
		})
	}
}

func TestPrepareAccepts(t *testing.T) {
	for name, settings := range map[string]Settings{
		"nothing": {},
		"keys":    {AccessKey: "x", SecretKey: "y", Token: "z"},
		"what is not known yet": {AccessKey: placeholder.Unknown, SecretKey: placeholder.Unknown,
			AssumeRole: &AssumeRole{RoleARN: placeholder.Unknown, SessionName: placeholder.Unknown + " x"}},
		"a role for half a day": {AssumeRole: &AssumeRole{RoleARN: role, DurationSeconds: 43200}},
		"a role with a path, and a session's name": {AssumeRole: &AssumeRole{
			RoleARN: "arn:aws-us-gov:iam::123456789012:role/a/b/baker+1", SessionName: "ci_1+=,.@-"}},
		"a profile and a region": {Profile: "x", Region: "y"},
	} {
		if errs := settings.Prepare(); len(errs) > 0 {
			t.Errorf("%s: %v", name, errs)
		}
	}
}

func TestSecrets(t *testing.T) {
	s := Settings{AccessKey: "a", SecretKey: "b", Token: "c"}
	if diff := cmp.Diff([]string{"b", "c"}, s.Secrets()); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	if got := (&Settings{SecretKey: placeholder.Unknown}).Secrets(); got != nil {
		t.Errorf("the secrets of a template that is validated are %v", got)
	}
}

func TestLoadNeedsARegion(t *testing.T) {
	isolateEnvironment(t)
	if _, err := new(Settings).Load(t.Context(), 0); !errors.Is(err, ErrNoRegion) ||
		!strings.Contains(err.Error(), "region") {
		t.Errorf("the error is %v", err)
	}
	if _, err := (&Settings{SkipMetadataAPICheck: true}).Load(t.Context(), 0); !errors.Is(err, ErrNoRegion) {
		t.Errorf("without the metadata service, the error is %v", err)
	}
}

func TestLoadPrefersTheTemplateToTheEnvironment(t *testing.T) {
	isolateEnvironment(t)
	t.Setenv("AWS_REGION", "us-west-1")
	t.Setenv("AWS_ACCESS_KEY_ID", "of-the-environment")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "x")
	for name, c := range map[string]struct {
		settings    Settings
		region, key string
	}{
		"the environment": {Settings{}, "us-west-1", "of-the-environment"},
		"the template": {Settings{Region: "eu-west-1", AccessKey: "of-the-template", SecretKey: "y"}, "eu-west-1",
			"of-the-template"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := c.settings.Load(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			got, err := cfg.Credentials.Retrieve(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Region != c.region || got.AccessKeyID != c.key {
				t.Errorf("region %s, key %s; want %s, %s", cfg.Region, got.AccessKeyID, c.region, c.key)
			}
		})
	}
}

func TestLoadReadsAProfileOfTheTemplatesOwnFile(t *testing.T) {
	isolateEnvironment(t)
	file := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(file, []byte("[bakery]\naws_access_key_id = of-the-file\naws_secret_access_key = x\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	s := Settings{Region: "us-east-1", Profile: "bakery", SharedCredentialsFile: file}
	cfg, err := s.Load(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cfg.Credentials.Retrieve(t.Context()); err != nil || got.AccessKeyID != "of-the-file" {
		t.Errorf("the key is %q, the error %v", got.AccessKeyID, err)
	}
	s.Profile = "nobody"
	if _, err := s.Load(t.Context(), 0); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Errorf("of a profile that is not there, the error is %v", err)
	}
}

func TestTheRoleIsAssumedWithTheSettings(t *testing.T) {
	isolateEnvironment(t)
	var asked url.Values
	sts := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		asked = r.PostForm
		_, _ = io.WriteString(
			w,
			`<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>of-the-role</AccessKeyId>`+
				`<SecretAccessKey>x</SecretAccessKey><SessionToken>y</SessionToken>`+
				`<Expiration>2100-01-01T00:00:00Z</Expiration>`+
				`</Credentials></AssumeRoleResult></AssumeRoleResponse>`,
		)
	}))
	defer sts.Close()
	t.Setenv("AWS_ENDPOINT_URL", sts.URL)
	s := Settings{
		Region: "us-east-1", AccessKey: "x", SecretKey: "y",
		AssumeRole: &AssumeRole{
			RoleARN: "arn:aws:iam::123456789012:role/baker", DurationSeconds: 1800, ExternalID: "e", Policy: "{}",
			PolicyARNs: []string{"arn:p"}, Tags: map[string]string{"k": "v"}, TransitiveTagKeys: []string{"k"},
		},
	}
	if errs := s.Prepare(); errs != nil {
		t.Fatal(errs)
	}
	cfg, err := s.Load(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cfg.Credentials.Retrieve(t.Context()); err != nil || got.AccessKeyID != "of-the-role" {
		t.Fatalf("the key is %q, the error %v", got.AccessKeyID, err)
	}
	for name, want := range map[string]string{
		"RoleArn": s.AssumeRole.RoleARN, "DurationSeconds": "1800", "ExternalId": "e", "Policy": "{}",
		"PolicyArns.member.1.arn": "arn:p",
		"RoleSessionName":         "packer-plugin-bakery", "Tags.member.1.Key": "k", "Tags.member.1.Value": "v",
		"TransitiveTagKeys.member.1": "k",
	} {
		if got := asked.Get(name); got != want {
			t.Errorf("STS was asked with %s = %q, want %q", name, got, want)
		}
	}
}

func TestCallsUseTheEndpointOfTheTemplateAndTheUserAgent(t *testing.T) {
	isolateEnvironment(t)
	var agent string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agent = r.UserAgent()
		_, _ = io.WriteString(w, "<DescribeVpcsResponse/>")
	}))
	defer server.Close()
	s := Settings{Region: "us-east-1", AccessKey: "x", SecretKey: "y", CustomEndpointEc2: server.URL,
		InsecureSkipTLSVerify: true}
	if errs := s.Prepare(); errs != nil {
		t.Fatal(errs)
	}
	cfg, err := s.Load(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := EC2(cfg, &s).DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(agent, "app/packer-plugin-bakery") {
		t.Errorf("the user agent is %q", agent)
	}
	if got := s.retryer().MaxAttempts(); got != 10 {
		t.Errorf("a call is tried %d times, want 10", got)
	}
	if aws.ToString(EC2(cfg, &s).Options().BaseEndpoint) != server.URL {
		t.Error("custom_endpoint_ec2 is not EC2's endpoint")
	}
}
