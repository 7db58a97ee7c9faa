// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// direct is an HTTP client that calls the lab without a network, so that it works in a synctest bubble.
type direct struct{ lab http.Handler }

func (d direct) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.Host, in.RequestURI = r.URL.Host, r.URL.RequestURI()
	if in.Body == nil {
		in.Body = http.NoBody
	}
	if r.ContentLength > 0 {
		in.Header.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10)) // which a network would add
	}
	d.lab.ServeHTTP(w, in)
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

// as returns a configuration with the credentials of a session.
func as(cfg aws.Config, c *types.Credentials) aws.Config {
	cfg.Credentials = credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	return cfg
}

// assumeRole asks for a session of a role that lasts so many seconds; 0: without a length.
func assumeRole(t *testing.T, cfg aws.Config, role string, seconds int32) (*types.Credentials, error) {
	t.Helper()
	in := &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::123456789012:role/" + role),
		RoleSessionName: aws.String("session")}
	if seconds > 0 {
		in.DurationSeconds = &seconds
	}
	out, err := sts.NewFromConfig(cfg).AssumeRole(t.Context(), in)
	if err != nil {
		return nil, err
	}
	return out.Credentials, nil
}

// TestSessionsLastAsAskedFor tests the limits of STS:
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html.
func TestSessionsLastAsAskedFor(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	cfg := sdk(l)
	for name, seconds := range map[string]int32{"hour": 0, "long": 7200, "longest": 43200} {
		in := &iam.CreateRoleInput{RoleName: aws.String(name), AssumeRolePolicyDocument: aws.String("{}")}
		if seconds > 0 {
			in.MaxSessionDuration = &seconds
		}
		out, err := iam.NewFromConfig(cfg).CreateRole(t.Context(), in)
		if err != nil || *out.Role.MaxSessionDuration != max(seconds, 3600) {
			t.Fatalf("%s: %v", name, err)
		}
	}
	first, err := assumeRole(t, cfg, "first", 0) // which may do everything
	if err != nil {
		t.Fatal(err)
	}
	const tooLong, chained = "exceeds the MaxSessionDuration", "1 hour session limit for roles assumed by role chaining"
	for _, c := range []struct {
		role         string
		asked, lasts int32
		chained      bool
		refused      string
	}{
		{"hour", 0, 3600, false, ""},
		{"hour", 900, 900, false, ""},
		{"hour", 899, 0, false, "failed to satisfy constraint"},
		{"hour", 3600, 3600, false, ""},
		{"hour", 3601, 0, false, tooLong},
		{"of/nobody", 3601, 0, false, tooLong},
		{"long", 7200, 7200, false, ""},
		{"path/long", 7200, 7200, false, ""},
		{"long", 7201, 0, false, tooLong},
		{"longest", 43200, 43200, false, ""},
		{"longest", 43201, 0, false, "failed to satisfy constraint"},
		{"longest", 3600, 3600, true, ""},
		{"longest", 0, 3600, true, ""},
		{"longest", 3601, 0, true, chained},
	} {
		sender := cfg
		if c.chained {
			sender = as(cfg, first)
		}
		got, err := assumeRole(t, sender, c.role, c.asked)
		if c.refused != "" {
			if err == nil || codeOf(err) != "ValidationError" || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s for %d s: %v, want %q", c.role, c.asked, err, c.refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s for %d s: %v", c.role, c.asked, err)
			continue
		}
		if left := time.Until(*got.Expiration); left > time.Duration(c.lasts)*time.Second ||
			left < time.Duration(c.lasts-60)*time.Second {
			t.Errorf("%s for %d s lasts %s", c.role, c.asked, left)
		}
	}
}

// TestSessionsExpire tests that nothing works with the credentials of a session that is over, nor what they have
// signed.
func TestSessionsExpire(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	synctest.Test(t, func(t *testing.T) {
		cfg := sdk(l)
		cfg.HTTPClient = direct{l}
		session, err := assumeRole(t, cfg, "r", 900)
		if err != nil {
			t.Fatal(err)
		}
		if got := session.Expiration.Sub(time.Now().Add(15 * time.Minute)).Abs(); got > time.Second {
			t.Errorf("the session ends %s too late or too early", got)
		}
		cfg = as(cfg, session)
		path := func(o *s3.Options) { o.UsePathStyle = true }
		signed, err := s3.NewPresignClient(s3.NewFromConfig(cfg, path)).PresignGetObject(t.Context(),
			&s3.GetObjectInput{Bucket: aws.String(lab.Bucket), Key: aws.String("k")}, s3.WithPresignExpires(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		_, err = s3.NewFromConfig(cfg, path).PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(lab.Bucket),
			Key: aws.String("k"), Body: strings.NewReader("x")})
		if err != nil {
			t.Fatal(err)
		}
		calls := func() (codes []string) {
			_, ec2Err := ec2.NewFromConfig(cfg).DescribeVpcs(t.Context(), &ec2.DescribeVpcsInput{})
			_, s3Err := s3.NewFromConfig(cfg, path).ListObjectsV2(t.Context(),
				&s3.ListObjectsV2Input{Bucket: aws.String(lab.Bucket)})
			_, stsErr := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			_, ssmErr := ssm.NewFromConfig(cfg).GetParameters(t.Context(),
				&ssm.GetParametersInput{Names: []string{"x"}})
			for _, err := range []error{ec2Err, s3Err, stsErr, ssmErr} {
				codes = append(codes, codeOf(err))
			}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, signed.URL, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			answer, _ := direct{l}.Do(r)
			return append(codes, answer.Status)
		}
		if diff := cmp.Diff([]string{"", "", "", "", "200 OK"}, calls()); diff != "" {
			t.Errorf("at first (-want +got):\n%s", diff)
		}
		time.Sleep(14 * time.Minute)
		if diff := cmp.Diff([]string{"", "", "", "", "200 OK"}, calls()); diff != "" {
			t.Errorf("after 14 minutes (-want +got):\n%s", diff)
		}
		time.Sleep(time.Minute)
		want := []string{"RequestExpired", "ExpiredToken", "ExpiredToken", "ExpiredTokenException", "400 Bad Request"}
		if diff := cmp.Diff(want, calls()); diff != "" {
			t.Errorf("after 15 minutes (-want +got):\n%s", diff)
		}
	})
}

// TestSessionsNeedTheirToken tests that the keys of a session are nothing without its token.
func TestSessionsNeedTheirToken(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	cfg := sdk(l)
	session, err := assumeRole(t, cfg, "r", 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"", "another"} {
		session.SessionToken = aws.String(token)
		_, err := sts.NewFromConfig(as(cfg, session)).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		if codeOf(err) != "InvalidClientTokenId" {
			t.Errorf("with the token %q: %v", token, err)
		}
	}
}
