// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sweep

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

func TestSweepRemovesWhatHasExpiredMachinesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAccount(t)
		a.answers["DescribeTags"] = tags("sir-1 spot-instances-request", "i-1 instance", "i-copied instance",
			"vol-1 volume", "sg-1 security-group", "ami-1 image", "ami-2 image",
			"snap-1 snapshot", "snap-2 snapshot", "snap-3 snapshot")
		a.answers["DescribeSpotInstanceRequests"] = func(url.Values) string {
			return "<spotInstanceRequestSet><item><spotInstanceRequestId>sir-1</spotInstanceRequestId></item>" +
				"</spotInstanceRequestSet>"
		}
		a.answers["DescribeInstances"] = func(url.Values) string {
			if slices.Contains(a.changes(), "us-east-1 TerminateInstances i-1") {
				return ""
			}
			const instance = "<item><instanceId>%s</instanceId><clientToken>%s</clientToken></item>"
			return "<reservationSet><item><instancesSet>" + fmt.Sprintf(instance, "i-1", someBake+"-0") +
				fmt.Sprintf(instance, "i-copied", "another") + "</instancesSet></item></reservationSet>"
		}
		a.answers["DescribeImages"] = func(url.Values) string {
			const image = "<item><imageId>%s</imageId><name>hello</name><imageState>%s</imageState>" +
				"<blockDeviceMapping><item><ebs><snapshotId>%s</snapshotId></ebs></item></blockDeviceMapping></item>"
			return "<imagesSet>" + fmt.Sprintf(image, "ami-1", "pending", "snap-1") +
				fmt.Sprintf(image, "ami-2", "available", "snap-2") + "</imagesSet>"
		}
		s, said := a.sweeper("us-east-1")
		got := s.Sweep(t.Context())
		const of = " of bake " + someBake + " in us-east-1"
		want := &Result{
			Removed: []string{
				"spot request sir-1" + of, "instance i-1" + of, "volume vol-1" + of, "security group sg-1" + of,
				"pending image ami-1" + of, "snapshot snap-1" + of, "snapshot snap-3" + of,
			},
			Kept: []string{`ami-2 ("hello", available)` + of},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("result (-want +got):\n%s", diff)
		}
		wantCalls := []string{
			"us-east-1 CancelSpotInstanceRequests sir-1", "us-east-1 TerminateInstances i-1",
			"us-east-1 DeleteVolume vol-1", "us-east-1 DeleteSecurityGroup sg-1", "us-east-1 DeregisterImage ami-1",
			"us-east-1 DeleteSnapshot snap-1", "us-east-1 DeleteSnapshot snap-3",
		}
		if diff := cmp.Diff(wantCalls, a.changes()); diff != "" {
			t.Errorf("calls (-want +got):\n%s", diff)
		}
		for _, what := range want.Removed {
			if !strings.Contains(said.String(), "Swept "+what+", which a killed bake had left") {
				t.Errorf("it does not say %q:\n%s", what, said)
			}
		}
	})
}

func TestSweepWithNothingExpiredMakesOneCallForEachRegion(t *testing.T) {
	a := newAccount(t)
	s, said := a.sweeper("us-east-1", "eu-west-1")
	if diff := cmp.Diff(new(Result), s.Sweep(t.Context())); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	slices.Sort(a.calls)
	if diff := cmp.Diff([]string{"eu-west-1 DescribeTags", "us-east-1 DescribeTags"}, a.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if said.Len() > 0 {
		t.Errorf("it says %q", said)
	}
}

func TestSweepLeavesSpotInstancesWhoseRequestsStay(t *testing.T) {
	a := newAccount(t)
	a.answers["DescribeTags"] = tags("sir-1 spot-instances-request", "i-1 instance")
	a.denied["DescribeSpotInstanceRequests"] = true
	a.answers["DescribeInstances"] = func(url.Values) string {
		return "<reservationSet><item><instancesSet><item><instanceId>i-1</instanceId>" +
			"<spotInstanceRequestId>sir-1</spotInstanceRequestId></item></instancesSet></item></reservationSet>"
	}
	s, _ := a.sweeper("us-east-1")
	got := s.Sweep(t.Context())
	if calls := a.changes(); len(calls) > 0 || len(got.Errs) != 1 {
		t.Errorf("it called %q, errors %v", calls, got.Errs)
	}
	if complaint := got.Warning(); !strings.Contains(complaint, "the right to ec2:DescribeSpotInstanceRequests") {
		t.Errorf("it complains %q", complaint)
	}
}

func TestSweepRemovesRolesThatNameAndTagsSayHaveExpired(t *testing.T) {
	role := func(stamp string) string { return "bakery-" + stamp + "-" + someBake }
	expires := map[string]string{
		role("20200102T030405Z"): longAgo,
		role("20200102T030406Z"): farAway,
		role("20200102T030407Z"): "soon",
		role("29990102T030405Z"): longAgo,
		"mine":                   longAgo,
	}
	a := newAccount(t)
	a.answers["ListRoles"] = func(form url.Values) string {
		if form.Get("PathPrefix") != "/bakery/" {
			t.Errorf("it lists all roles below %q", form.Get("PathPrefix"))
		}
		members := ""
		for name := range expires {
			members += "<member><RoleName>" + name + "</RoleName></member>"
		}
		return "<IsTruncated>false</IsTruncated><Roles>" + members + "</Roles>"
	}
	a.answers["ListRoleTags"] = func(form url.Values) string {
		const tag = "<member><Key>%s</Key><Value>%s</Value></member>"
		return "<IsTruncated>false</IsTruncated><Tags>" +
			fmt.Sprintf(tag, "bakery:expires", expires[form.Get("RoleName")]) +
			fmt.Sprintf(tag, "bakery:bake-id", someBake) + "</Tags>"
	}
	s, _ := a.sweeper("us-east-1")
	s.Roles = true
	got := s.Sweep(t.Context())
	name := role("20200102T030405Z")
	want := &Result{Removed: []string{"the role and instance profile " + name + " of bake " + someBake}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	for _, call := range a.changes() {
		if !strings.Contains(call, name) {
			t.Errorf("it called %s", call)
		}
	}
}

func TestSweepDeletesStagedFoldersThatHaveExpired(t *testing.T) {
	const old, alive = "bakery-20200102T030405Z-" + someBake, "bakery-29990102T030405Z-" + someBake
	a := newAccount(t)
	for _, key := range []string{old + "/fs.tgz", old + "/log.gz", alive + "/fs.tgz", "0123/fs.tgz", "bakery-notes/x"} {
		a.put("bucket", "quick/"+key)
	}
	for _, folder := range []string{old, alive} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost,
			"http://s3.example/bucket/quick/"+folder+"/large?uploads", http.NoBody)
		r.Header.Set("Content-Length", "0")
		out := httptest.NewRecorder()
		if a.s3.ServeHTTP(out, r); out.Code != http.StatusOK {
			t.Fatalf("%d %s", out.Code, out.Body)
		}
	}
	s, _ := a.sweeper("us-east-1")
	cfg := a.config()
	endpoint := "http://s3.example"
	cfg.BaseEndpoint = &endpoint
	s.Store = staging.New(cfg, staging.Location{Bucket: "bucket", Prefix: "quick"}, staging.Options{})
	want := &Result{Removed: []string{
		"the unfinished upload to s3://bucket/quick/" + old + "/large",
		"s3://bucket/quick/" + old + "/fs.tgz", "s3://bucket/quick/" + old + "/log.gz",
	}}
	if diff := cmp.Diff(want, s.Sweep(t.Context())); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(new(Result), s.Sweep(t.Context())); diff != "" {
		t.Errorf("the second sweep (-want +got):\n%s", diff)
	}
}
