// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/wildcard"
)

func parsed(t *testing.T, body string) *Query {
	t.Helper()
	q, err := ParseQuery(body)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func TestListsAreInTheOrderOfTheirNumbers(t *testing.T) {
	q := parsed(t, "InstanceId.10=c&InstanceId.2=b&InstanceId.1=a&InstanceId.x=no&InstanceId.01=no")
	if diff := cmp.Diff([]string{"a", "b", "c"}, q.Strings("InstanceId")); diff != "" {
		t.Error(diff)
	}
}

func TestTagsOfOneResourceTypeAreCollected(t *testing.T) {
	q := parsed(t, "TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=a&TagSpecification.1.Tag.1.Value=1"+
		"&TagSpecification.2.ResourceType=volume&TagSpecification.2.Tag.1.Key=b&TagSpecification.2.Tag.1.Value=2"+
		"&TagSpecification.3.ResourceType=instance&TagSpecification.3.Tag.1.Key=c")
	got, err := q.TagsFor("instance")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(cloud.Tags{"a": "1", "c": ""}, got); diff != "" {
		t.Error(diff)
	}
}

func TestMalformedQueriesAreRefused(t *testing.T) {
	for name, body := range map[string]string{
		"bad escape":     "Action=%zz",
		"empty part":     "Filter..Name=x",
		"leading dot":    ".A=x",
		"too deep":       strings.Repeat("a.", maxDepth) + "a=1",
		"index too high": "InstanceId.999999=x",
		"too many":       manyParameters(),
	} {
		if _, err := ParseQuery(body); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func manyParameters() string {
	var b strings.Builder
	for i := range maxParameters + 1 {
		_, _ = fmt.Fprintf(&b, "p%d=&", i)
	}
	return b.String()
}

func TestValuesOfTheWrongKindAreRefused(t *testing.T) {
	q := parsed(t, "B=maybe&I=many&D=!!!&T=yesterday")
	_, b := q.Bool("B")
	_, i := q.Int("I", 0)
	_, d := q.Base64("D")
	_, at := q.Time("T")
	for want, err := range map[string]error{"InvalidUserData.Malformed": d,
		"InvalidParameterValue": errors.Join(b, i, at)} {
		var refused *apierror.Error
		if !errors.As(err, &refused) || refused.Code != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestUserDataMayHaveLineBreaks(t *testing.T) {
	q := parsed(t, url.Values{"UserData": {"aGVs\nbG8=\n"}}.Encode())
	if b, err := q.Base64("UserData"); err != nil || string(b) != "hello" {
		t.Errorf("%q %v", b, err)
	}
}

func TestPagesAddUpToTheWholeList(t *testing.T) {
	all := []int{1, 2, 3, 4, 5}
	var got []int
	token := ""
	for range 3 {
		q := parsed(t, url.Values{"MaxResults": {"2"}, "NextToken": {token}}.Encode())
		some, next, err := page(q, all)
		if err != nil {
			t.Fatal(err)
		}
		got, token = append(got, some...), next
	}
	if token != "" || !cmp.Equal(got, all) {
		t.Errorf("%v and token %q", got, token)
	}
	if _, _, err := page(parsed(t, "NextToken=zzz"), all); err == nil {
		t.Error("a token that nobody gave is accepted")
	}
}

func FuzzParseQuery(f *testing.F) {
	for _, seed := range []string{
		"Action=DescribeImages&Version=2016-11-15&Filter.1.Name=name&Filter.1.Value.1=a%2A&Owner.1=self",
		"Action=RunInstances&UserData=aGk%3D&TagSpecification.1.ResourceType=instance&TagSpecification.1.Tag.1.Key=a&MinCount=1",
		"BlockDeviceMapping.1.DeviceName=%2Fdev%2Fxvda&BlockDeviceMapping.1.Ebs.VolumeSize=10&A=1&A.B=2", "=&.&..&a.=",
		"%", "a.1.1.1.1=;",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		q, err := ParseQuery(body)
		if err != nil {
			if _, ok := errors.AsType[*apierror.Error](err); !ok {
				t.Fatalf("%v is no refusal of EC2", err)
			}
			return
		}
		flat := map[string]string{}
		q.flatten("", flat)
		again := url.Values{}
		for k, v := range flat {
			again.Set(k, v)
		}
		twice, err := ParseQuery(again.Encode())
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		same := map[string]string{}
		twice.flatten("", same)
		if diff := cmp.Diff(flat, same); diff != "" {
			t.Fatal(diff)
		}
		for name := range flat {
			_ = q.Strings(name)
			_, _ = q.TagsFor(name)
			_, _ = q.Base64(name)
			_ = wildcard.MatchEscaped(name, q.String(name))
			_ = (&reader{q: q}).devices()
		}
	})
}
