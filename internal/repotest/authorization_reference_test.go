// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package repotest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// referenceHost has the Service Authorization Reference as JSON, one file for each service:
// https://docs.aws.amazon.com/service-authorization/latest/reference/service-reference.html.
const referenceHost = "servicereference.us-east-1.amazonaws.com"

// serviceReference is what the reference says of a service, as far as the table has it.
type serviceReference struct {
	Actions []struct {
		Name                string
		ActionConditionKeys []string
		Resources           []struct{ Name string }
	}
}

// userGuideRows are rows of the table that the reference does not have.
var userGuideRows = []string{"ec2:RunInstances spot-instances-request"}

// disagreements returns in what the table differs from the reference of a service. The reference lists the condition
// keys of all types of an action together.
func (a authorizations) disagreements(service string, reference []byte) ([]string, error) {
	var r serviceReference
	if err := json.Unmarshal(reference, &r); err != nil {
		return nil, err
	}
	known := map[string]map[string]bool{}
	keys := map[string][]string{}
	for _, action := range r.Actions {
		name := service + ":" + action.Name
		known[name] = map[string]bool{}
		for _, resource := range action.Resources {
			known[name][resource.Name] = true
		}
		for _, key := range action.ActionConditionKeys {
			key, _, _ = strings.Cut(key, "$")
			keys[name] = append(keys[name], key)
		}
	}
	var all []string
	for _, action := range slices.Sorted(maps.Keys(a)) {
		if !strings.HasPrefix(action, service+":") {
			continue
		}
		if _, ok := known[action]; !ok {
			all = append(all, action+" is no action")
			continue
		}
		for kind, row := range a[action] {
			supported := known[action][kind]
			if kind != anyType && !supported && !slices.Contains(userGuideRows, action+" "+kind) {
				all = append(all, action+" does not support the resource type "+kind)
			}
			for _, key := range row.keys {
				if !slices.Contains(keys[action], key) {
					all = append(all, action+" has no condition key "+key)
				}
			}
		}
		if _, ok := a[action][anyType]; ok && len(a[action]) == 1 && len(known[action]) > 0 {
			all = append(all, action+" has resource types, and the table has none")
		}
	}
	return all, nil
}

// TestTheTableOfActionsAgreesWithAWS compares the table with what AWS publishes today. Where that cannot be reached,
// the table as of its date has to do.
func TestTheTableOfActionsAgreesWithAWS(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	lookup, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	if _, err := net.DefaultResolver.LookupHost(lookup, referenceHost); err != nil {
		t.Logf("the table is checked with its own date only: %v", err)
		return
	}
	a := readAuthorizations(t)
	for _, service := range []string{"ec2", "iam", "kms", "s3", "ssm"} {
		reference, err := fetchReference(ctx, service)
		if err != nil {
			t.Logf("the table of %s is checked with its own date only: %v", service, err)
			continue
		}
		all, err := a.disagreements(service, reference)
		for _, one := range all {
			t.Errorf("testdata/authorization.txt: %s", one)
		}
		if err != nil {
			t.Errorf("read the reference of %s: %v", service, err)
		}
	}
}

func fetchReference(ctx context.Context, service string) ([]byte, error) {
	url := fmt.Sprintf("https://%s/v1/%s/%s.json", referenceHost, service, service)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, 64<<20))
}

// TestDisagreementsWithAWSAreFound checks the comparison with a reference of two actions, as AWS writes it.
func TestDisagreementsWithAWSAreFound(t *testing.T) {
	const reference = `{"Name": "ec2", "Actions": [
		{"Name": "DeleteTags", "ActionConditionKeys": ["aws:ResourceTag/${TagKey}", "aws:TagKeys", "ec2:Region"],
			"Resources": [{"Name": "image"}, {"Name": "snapshot"}]},
		{"Name": "DescribeTags", "ActionConditionKeys": ["ec2:Region"]}]}`
	tag := authorization{keys: []string{"aws:ResourceTag/", "aws:TagKeys"}}
	for _, c := range []struct {
		table authorizations
		want  string
	}{
		{authorizations{"ec2:DeleteTags": {"image": tag}, "ec2:DescribeTags": {anyType: {}}, "s3:GetObject": {}}, ""},
		{authorizations{"ec2:DeleteTags": {"volume": tag}}, "does not support the resource type volume"},
		{authorizations{"ec2:DescribeTags": {"image": {}}}, "does not support the resource type image"},
		{authorizations{"ec2:DescribeTags": {anyType: tag}}, "has no condition key aws:ResourceTag/"},
		{authorizations{"ec2:DeleteTags": {anyType: {}}}, "has resource types"},
		{authorizations{"ec2:EraseTags": {anyType: {}}}, "is no action"},
	} {
		got, err := c.table.disagreements("ec2", []byte(reference))
		if err != nil || (c.want == "") != (len(got) == 0) || !strings.Contains(strings.Join(got, "\n"), c.want) {
			t.Errorf("%v: %q, %v, want %q", c.table, got, err, c.want)
		}
	}
	if _, err := (authorizations{}).disagreements("ec2", []byte("<html>")); err == nil {
		t.Error("an answer that is not JSON is accepted")
	}
}
