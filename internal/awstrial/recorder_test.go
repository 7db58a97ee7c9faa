// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"
)

// roundTrip answers requests without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

const (
	secretKey = "AQICAHhSECRETSECRETSECRETSECRETSECRETSEC"
	accountID = "123456789012"
)

// answerAWS is the answers of a small AWS.
func answerAWS(r *http.Request) (*http.Response, error) {
	body, _ := io.ReadAll(r.Body)
	var text string
	status := http.StatusOK
	switch {
	case strings.HasPrefix(r.Host, "sts."):
		text = "<R><AssumeRoleResult><Credentials><SecretAccessKey>" + secretKey + "</SecretAccessKey>" +
			"<AccessKeyId>ASIAEXAMPLE</AccessKeyId></Credentials><AssumedRoleUser><Arn>arn:aws:sts::" + accountID +
			":assumed-role/a/b</Arn></AssumedRoleUser></AssumeRoleResult></R>"
	case strings.Contains(r.Host, ".s3."):
		text = string(body)
	case strings.Contains(string(body), "TerminateInstances"):
		status = http.StatusForbidden
		text = "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>no " + accountID +
			"</Message></Error></Errors></Response>"
	default:
		text = "<RunInstancesResponse><instancesSet><item><instanceId>i-0123456789abcdef0</instanceId></item>" +
			"<item><instanceId>i-0123456789abcdef1</instanceId></item></instancesSet><ownerId>" + accountID +
			"</ownerId></RunInstancesResponse>"
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Content-Type": {"text/xml"}},
		Body: io.NopCloser(strings.NewReader(text)), ContentLength: int64(len(text)), Request: r}, nil
}

// clientConfig returns the settings of a client that goes through a recorder, as the environment would set them.
func clientConfig(t *testing.T, env []string) aws.Config {
	t.Helper()
	var proxy, bundle string
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		switch name {
		case "HTTPS_PROXY":
			proxy = value
		case "AWS_CA_BUNDLE":
			bundle = value
		}
	}
	address, err := url.Parse(proxy)
	if err != nil || proxy == "" {
		t.Fatalf("the proxy is %q: %v", proxy, err)
	}
	t.Setenv("AWS_CA_BUNDLE", bundle)
	c, err := config.LoadDefaultConfig(t.Context(), config.WithRegion("eu-west-1"),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", secretKey, "token")))
	if err != nil {
		t.Fatal(err)
	}
	client, ok := c.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		t.Fatalf("the client is a %T", c.HTTPClient)
	}
	c.HTTPClient = client.WithTransportOptions(func(tr *http.Transport) { tr.Proxy = http.ProxyURL(address) })
	return c
}

func TestCallsOfAWSAreRecordedWithoutSecrets(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, env, err := recordCalls(ctx, t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	r.next = roundTrip(answerAWS)
	c := clientConfig(t, env)
	machines := ec2.NewFromConfig(c, func(o *ec2.Options) { o.RetryMaxAttempts = 1 })
	if _, err := machines.RunInstances(ctx, &ec2.RunInstancesInput{MinCount: aws.Int32(1), MaxCount: aws.Int32(1),
		ImageId: aws.String("ami-0123456789abcdef0"), UserData: aws.String("SECRET")}); err != nil {
		t.Fatal(err)
	}
	_, err = machines.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{"i-1"}})
	if err == nil {
		t.Fatal("a refusal did not come through")
	}
	if _, err := sts.NewFromConfig(c).AssumeRole(ctx, &sts.AssumeRoleInput{
		RoleArn:         aws.String("arn:aws:iam::" + accountID + ":role/a"),
		RoleSessionName: aws.String("b")}); err != nil {
		t.Fatal(err)
	}
	object := bytes.Repeat([]byte("SECRET"), 1<<20)
	if _, err := s3.NewFromConfig(c).PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String("b"), Key: aws.String("k"),
		Body: bytes.NewReader(object)}); err != nil {
		t.Fatal(err)
	}
	var actions []string
	for _, x := range r.recorded() {
		actions = append(actions, strings.TrimSpace(x.Service+" "+x.Action+" "+x.Code))
	}
	want := []string{"ec2 RunInstances", "ec2 TerminateInstances UnauthorizedOperation", "sts AssumeRole",
		"s3 PUT object"}
	if diff := cmp.Diff(want, actions); diff != "" {
		t.Error(diff)
	}
	text, err := json.Marshal(r.recorded())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{secretKey, "SECRET", accountID, "ASIAEXAMPLE", "AKIDEXAMPLE"} {
		if bytes.Contains(text, []byte(secret)) {
			t.Errorf("%s is in the record: %s", secret, text)
		}
	}
	ids := r.recorded()[0].Answer["instancesSet/item/instanceId"]
	if diff := cmp.Diff([]string{"i-0123456789abcdef0", "i-0123456789abcdef1"}, ids); diff != "" {
		t.Error(diff)
	}
}

// An answer that AWS gives otherwise than the lab must be in the report.
func TestDifferencesAreReported(t *testing.T) {
	lab := summarize([]exchange{
		{Service: "ec2", Action: "A", Status: 200, Answer: map[string][]string{"x": nil, "only-lab": nil}},
		{Service: "ec2", Action: "B", Status: 400, Code: "InvalidParameterValue"},
		{Service: "ec2", Action: "Same", Status: 200, Answer: map[string][]string{"x": nil}},
	})
	found := summarize([]exchange{
		{Service: "ec2", Action: "A", Status: 200, Answer: map[string][]string{"x": nil, "only-aws": nil}},
		{Service: "ec2", Action: "B", Status: 400, Code: "InvalidParameterCombination"},
		{Service: "ec2", Action: "C", Status: 200},
		{Service: "ec2", Action: "Same", Status: 200, Answer: map[string][]string{"x": {"other"}}},
	})
	paper := &report{run: "1", region: "r", calls: found, differences: compare(found, lab), results: []result{
		{trial: trial{name: "good", instanceType: "t3.nano"}},
		{trial: trial{name: "bad"}, problem: "the bake has failed", output: "a\narn:aws:iam::" + accountID + ":x\n"},
	}}
	var text strings.Builder
	paper.write(&text)
	for _, want := range []string{
		"- `ec2 A`: only AWS answers `only-aws`; only the lab answers `only-lab`\n",
		"- `ec2 B`: AWS also answers with `400 InvalidParameterCombination`\n",
		"- `ec2 C`: the lab was not asked this\n", "| good |", "**the bake has failed**", "arn:aws:iam::ACCOUNT:x",
	} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, text.String())
		}
	}
	if strings.Contains(text.String(), "ec2 Same`:") || paper.ok() {
		t.Errorf("ok is %v, and the report is\n%s", paper.ok(), text.String())
	}
}
