// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// sdk returns a configuration of the SDK for a lab, with the lab's access key or another. It does not retry, so that
// tests get each error.
func sdk(l *labtest.Lab, key ...string) aws.Config {
	if len(key) == 0 {
		key = []string{l.Value("AWS_ACCESS_KEY_ID"), l.Value("AWS_SECRET_ACCESS_KEY")}
	}
	token := ""
	if len(key) > 2 {
		token = key[2]
	}
	return aws.Config{
		Region: lab.Region, BaseEndpoint: aws.String(l.URL),
		Credentials: credentials.NewStaticCredentialsProvider(key[0], key[1], token),
		Retryer:     func() aws.Retryer { return aws.NopRetryer{} },
	}
}

func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func powerOff(m *labtest.Machine) {
	m.Print("hello from the machine\r\n")
	m.PowerOff()
}

// run launches an instance of bookworm.
func run(t *testing.T, c *ec2.Client, change func(*ec2.RunInstancesInput)) types.Instance {
	t.Helper()
	in := &ec2.RunInstancesInput{
		ImageId: aws.String(cloud.BaseImageID("bookworm")), InstanceType: types.InstanceTypeT3Nano,
		MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
	}
	if change != nil {
		change(in)
	}
	out, err := c.RunInstances(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return out.Instances[0]
}

// until waits for a condition, which must be true within minutes, even on a busy computer.
func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Minute); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within five minutes", what)
		}
	}
}

func untilState(t *testing.T, c *ec2.Client, id string, want types.InstanceStateName) types.Instance {
	t.Helper()
	var got types.Instance
	until(t, id+" is "+string(want), func() bool {
		out, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{id}})
		if err != nil {
			t.Fatal(err)
		}
		got = out.Reservations[0].Instances[0]
		return got.State.Name == want
	})
	return got
}

// fetch sends a request without a signature and returns the status and the body of the response.
func fetch(t *testing.T, method, url string, body io.Reader) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}
