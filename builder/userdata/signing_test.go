// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/amibakery/packer-plugin-bakery/internal/awsfake"
	"github.com/amibakery/packer-plugin-bakery/internal/setting"
)

// session returns a provider as the SDK makes one, with a cache. Its credentials last for a time, those of each call;
// without a time for a call, it fails.
func session(lasts ...time.Duration) aws.CredentialsProvider {
	n := 0
	return aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		if n++; n > len(lasts) {
			return aws.Credentials{}, errors.New("no more sessions")
		}
		return aws.Credentials{
			AccessKeyID: fmt.Sprintf("ASIATEST%d", n), SecretAccessKey: "secret-of-the-test",
			SessionToken: "token-of-the-test", CanExpire: true, Expires: time.Now().Add(lasts[n-1]),
		}, nil
	}))
}

// uploadTakes makes an upload to S3 take a time.
func (b *testBuild) uploadTakes(d time.Duration) {
	uploaded := false
	b.account.FailBefore["PUT object"] = func(int) *awsfake.Failure {
		if !uploaded {
			uploaded = true
			time.Sleep(d)
		}
		return nil
	}
}

// The URLs of the machine end with the credentials that have signed them, so those must last for all of the bake: 30
// minutes, and 10 for the launch.
func TestURLsAreSignedWithCredentialsThatLast(t *testing.T) {
	const hour, quarter = time.Hour, 15 * time.Minute
	const need = "must last 2400s (instance_timeout of 1800s and 10 minutes for the launch)"
	for name, c := range map[string]struct {
		lasts  []time.Duration
		upload time.Duration
		key    string // of what has signed
		fails  []string
	}{
		"they last":                            {[]time.Duration{hour}, 0, "ASIATEST1", nil},
		"they last just long enough":           {[]time.Duration{40 * time.Minute}, 0, "ASIATEST1", nil},
		"they were cached, and are renewed":    {[]time.Duration{20 * time.Minute, time.Hour}, 0, "ASIATEST2", nil},
		"the upload takes most of their time":  {[]time.Duration{hour, hour}, 50 * time.Minute, "ASIATEST2", nil},
		"the upload takes longer than they do": {[]time.Duration{hour, hour}, 2 * time.Hour, "ASIATEST2", nil},
		"they last for 15 minutes, as any": {[]time.Duration{quarter, quarter, quarter}, 0, "",
			[]string{need, "expire in 900s", "lower instance_timeout to at most 300s", "duration_seconds"}},
		"nothing renews them": {[]time.Duration{20 * time.Minute}, 0, "",
			[]string{need, "expire in 1200s", "lower instance_timeout to at most 600s"}},
		"nothing renews them after the upload": {[]time.Duration{hour}, 30 * time.Minute, "",
			[]string{need, "expire in 1800s"}},
	} {
		t.Run(name, func(t *testing.T) {
			b, _, err := runBuild(t, func(b *testBuild) {
				b.setStaging()
				b.credentials = session(c.lasts...)
				b.uploadTakes(c.upload)
			})
			if c.fails == nil {
				if err != nil {
					t.Fatal(err)
				}
				b.checkUserDataHas("X-Amz-Credential=" + c.key + "%2F")
				return
			}
			checkErrorSays(t, err, c.fails...)
			if b.launched() {
				t.Error("a machine was launched")
			}
			b.checkNothingLeft()
		})
	}
}

// User data that is given as it is uploads nothing: its URL must last until the machine has fetched it.
func TestStagedUserDataNeedsCredentialsForTheBootOnly(t *testing.T) {
	for name, c := range map[string]struct {
		lasts time.Duration
		fails bool
	}{
		"they last":        {31 * time.Minute, false},
		"they do not last": {29 * time.Minute, true},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := runBuild(t, func(b *testBuild) {
				b.config.UserData = "#!/bin/sh\n: '" + strings.ToValidUTF8(string(randomBytes(60_000)), "") + "'\n"
				b.config.Verdict = setting.VerdictStop
				b.config.Staging = &stagingConfig{URL: "s3://" + awsfake.Bucket}
				b.credentials = session(c.lasts)
			})
			if !c.fails && err != nil {
				t.Fatal(err)
			}
			if c.fails {
				checkErrorSays(t, err, "must last 1800s (until the machine has fetched its user data)")
			}
		})
	}
}

func TestBakesWithoutStagingNeedNoCredentialsThatLast(t *testing.T) {
	_, _, err := runBuild(t, func(b *testBuild) { b.credentials = session(15*time.Minute, 15*time.Minute) })
	if err != nil {
		t.Fatal(err)
	}
}

func TestCredentialsOfUnknownLifeAreWarnedOf(t *testing.T) {
	for timeout, want := range map[time.Duration]int{30 * time.Minute: 0, time.Hour: 1} {
		b, _, err := runBuild(t, func(b *testBuild) {
			b.setStaging()
			b.config.InstanceTimeout = timeout
			b.credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: "ASIATEST", SecretAccessKey: "secret-of-the-test",
					SessionToken: "token-of-the-test"}, nil
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(b.ui.String(), "AWS_CREDENTIAL_EXPIRATION"); got != want {
			t.Errorf("with %s, the user is warned %d times, want %d:\n%s", timeout, got, want, b.ui)
		}
	}
}

func TestSessionsThatEndBeforeTheirURLsAreRefused(t *testing.T) {
	const longer = "but AWS lends the credentials of assume_role for 43200s at most, and they expire with the " +
		"credentials that sign them: lower instance_timeout to at most 42540s, or use credentials that are not a role's"
	for name, c := range map[string]struct {
		seconds int
		timeout string
		staging map[string]any
		want    string // in the error; "": none
	}{
		"too short":                  {900, "30m", stagingBlock(), "duration_seconds of assume_role is 900s"},
		"just long enough":           {2400, "30m", stagingBlock(), ""},
		"too short for a long one":   {3600, "1h", stagingBlock(), "duration_seconds of assume_role is 3600s"},
		"without staging":            {900, "30m", nil, ""},
		"without a length":           {0, "8h", stagingBlock(), ""},
		"as long as AWS lends":       {0, "42600s", stagingBlock(), ""},
		"longer than AWS lends":      {0, "12h", stagingBlock(), longer},
		"as long as can be, and not": {43200, "12h", stagingBlock(), longer},
		"long without staging":       {0, "12h", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			settings := map[string]any{
				"source_ami": "ami-0123456789abcdef0", "ami_name": "hello", "user_data": "#!/bin/sh\ntrue\n",
				"instance_timeout": c.timeout,
				"assume_role": map[string]any{
					"role_arn": "arn:aws:iam::123456789012:role/baker", "duration_seconds": c.seconds,
				},
			}
			if c.staging != nil {
				settings["staging"] = c.staging
			}
			var config Config
			_, err := config.prepare(settings)
			if c.want == "" && err != nil {
				t.Fatal(err)
			}
			if c.want != "" {
				checkErrorSays(t, err, c.want, "instance_timeout of ")
			}
		})
	}
}
