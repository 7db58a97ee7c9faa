// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
)

// control sends a request to the lab's own API and returns the status and the body of the response.
func control(t *testing.T, l *labtest.Lab, method, path, body string) (int, string) {
	t.Helper()
	answer := askBy(t, l, method, l.Value("AWS_SECRET_ACCESS_KEY"), "/_lab/"+path, body)
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestFaultsAffectMatchingCallsOnly(t *testing.T) {
	group := func(c *ec2.Client, region, name string) string {
		_, err := c.CreateSecurityGroup(t.Context(),
			&ec2.CreateSecurityGroupInput{GroupName: &name, Description: aws.String("d")},
			func(o *ec2.Options) { o.Region = region })
		return codeOf(err)
	}
	for fault, want := range map[string][]string{ // us-east-1 a, eu-west-1 a, us-east-1 b, eu-west-1 b
		"CreateSecurityGroup=Broken:nth=3":                    {"", "", "Broken", ""},
		"CreateSecurityGroup=Broken:nth=2:2":                  {"", "Broken", "Broken", ""},
		"CreateSecurityGroup=Broken:region=eu-west-1":         {"", "Broken", "", "Broken"},
		"CreateSecurityGroup=Broken:region=eu-west-1:nth=2":   {"", "", "", "Broken"},
		"CreateSecurityGroup=Broken:GroupName=b":              {"", "", "Broken", "Broken"},
		"CreateSecurityGroup=Broken:before:1:GroupName=b":     {"", "", "Broken", ""},
		"DescribeVpcs=Broken:GroupName=b":                     {"", "", "", ""},
		"CreateSecurityGroup=UnauthorizedOperation:GroupId=x": {"", "", "", ""},
	} {
		l := labtest.Start(t, lab.Options{})
		if status, text := control(t, l, http.MethodPost, "faults", fault+"\n"); status != http.StatusOK {
			t.Fatalf("%s: %d %s", fault, status, text)
		}
		c := ec2.NewFromConfig(sdk(l))
		var got []string
		for _, name := range []string{"a", "b"} {
			got = append(got, group(c, "us-east-1", name), group(c, "eu-west-1", name))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", fault, diff)
		}
	}
}

func TestFaultsAreAddedAndRemovedWhileTheLabRuns(t *testing.T) {
	l := labtest.Start(t, lab.Options{})
	list := func() (all []string) {
		_, text := control(t, l, http.MethodGet, "faults", "")
		if err := json.Unmarshal([]byte(text), &all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	c := ec2.NewFromConfig(sdk(l))
	regions := func() string {
		_, err := c.DescribeRegions(t.Context(), &ec2.DescribeRegionsInput{})
		return codeOf(err)
	}
	if status, text := control(t, l, http.MethodPost, "faults",
		"DescribeRegions=One:1\nnonsense"); status != http.StatusBadRequest || text == "" {
		t.Errorf("%d %s", status, text)
	}
	if got := regions(); got != "" {
		t.Errorf("a fault of a list with a mistake in it: %s", got)
	}
	control(t, l, http.MethodPost, "faults", "DescribeRegions=One:1\nDescribeRegions=Two\n")
	if diff := cmp.Diff([]string{"DescribeRegions=One:1", "DescribeRegions=Two"}, list()); diff != "" {
		t.Error(diff)
	}
	if one, two := regions(), regions(); one != "One" || two != "Two" {
		t.Errorf("%s, then %s", one, two)
	}
	if diff := cmp.Diff([]string{"DescribeRegions=Two"}, list()); diff != "" {
		t.Error(diff)
	}
	control(t, l, http.MethodDelete, "faults", "")
	if got := regions(); got != "" || len(list()) > 0 {
		t.Errorf("%s after the faults were cleared: %v", got, list())
	}
}
