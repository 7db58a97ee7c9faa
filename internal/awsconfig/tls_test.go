// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsconfig

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

func TestCallsToOtherComputersMustBeEncrypted(t *testing.T) {
	for name, c := range map[string]struct {
		endpoint string
		insecure bool
		refused  bool
	}{
		"this computer, by address":           {"http://127.0.0.1:1", false, false},
		"this computer, by name":              {"http://localhost:1", false, false},
		"this computer, by IPv6":              {"http://[::1]:1", false, false},
		"another":                             {"http://s3.example.com", false, true},
		"another, by address":                 {"http://10.0.0.1:9000", false, true},
		"another with localhost in its name":  {"http://localhost.example.com", false, true},
		"another, allowed by the setting":     {"http://192.0.2.1:1", true, false},
		"another, encrypted":                  {"https://127.0.0.1:1", false, false},
		"another, with 127.0.0.1 in its name": {"http://127.0.0.1.example.com", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			isolateEnvironment(t)
			t.Setenv("AWS_ENDPOINT_URL_S3", c.endpoint)
			settings := Settings{AccessKey: "AKID", SecretKey: "secret", Region: "eu-west-1", MaxRetries: 1,
				InsecureSkipTLSVerify: c.insecure}
			cfg, err := settings.Load(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			cfg.HTTPClient = noNetwork{}
			_, err = s3.NewFromConfig(cfg).HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: aws.String("bucket")})
			if err == nil {
				t.Fatal("there is an answer")
			}
			if got := strings.Contains(err.Error(), "not encrypted"); got != c.refused {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

func TestTheMetadataServiceIsLocal(t *testing.T) {
	for host, want := range map[string]bool{
		"169.254.169.254": true, "169.254.170.2:80": true, "[fd00:ec2::254]": true, "[fd00:ec2::23]:80": true,
		"[fd00:ec3::1]": false, "": false,
	} {
		if isLocal(host) != want {
			t.Errorf("%q is local: %v", host, !want)
		}
	}
}

// noNetwork is an HTTP client that cannot reach anything.
type noNetwork struct{}

func (noNetwork) Do(*http.Request) (*http.Response, error) { return nil, errors.New("nobody is there") }
