// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sweep

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/instanceprofile"
	"github.com/amibakery/packer-plugin-bakery/internal/staging"
)

// crowd is an account with what one bake has made, and beside each thing a copy with its tags and what was made but not
// tagged.
func crowd(t *testing.T) *account {
	t.Helper()
	a := newAccount(t)
	a.answers["DescribeTags"] = tags(
		"sir-1 spot-instances-request", "sir-copy spot-instances-request sir-1", "sir-late spot-instances-request -",
		"i-1 instance", "i-copied instance", "i-like instance i-1", "i-spot instance", "i-spotcopy instance i-spot",
		"i-spotlate instance -", "i-late instance -",
		"vol-1 volume", "vol-user volume vol-1", "vol-gone volume", "vol-late volume -",
		"sg-1 security-group", "sg-copy security-group sg-1", "sg-vpc security-group -", "sg-name security-group",
		"ami-1 image", "ami-2 image", "ami-copy image ami-1", "ami-late image -", "ami-rescue image ami-2",
		"snap-1 snapshot -", "snap-2 snapshot -", "snap-3 snapshot -", "snap-copy snapshot snap-1",
		"snap-rescue snapshot -", "snap-backup snapshot -", "snap-orphan snapshot -")
	each := func(form func(id string) string, ids ...string) (items string) {
		for _, id := range ids {
			items += "<item>" + form(id) + "</item>"
		}
		return items
	}
	a.answers["DescribeSpotInstanceRequests"] = func(url.Values) string {
		return "<spotInstanceRequestSet>" + each(func(id string) string {
			return "<spotInstanceRequestId>" + id + "</spotInstanceRequestId>"
		}, "sir-1", "sir-copy", "sir-late") + "</spotInstanceRequestSet>"
	}
	a.answers["DescribeInstances"] = func(url.Values) string {
		rest := map[string]string{
			"i-1": "<clientToken>" + someBake + "-0</clientToken>" + tagSet("i-1") + "<blockDeviceMapping><item><ebs>" +
				"<volumeId>vol-1</volumeId></ebs></item><item><ebs><volumeId>vol-user</volumeId></ebs></item>" +
				"</blockDeviceMapping>",
			"i-copied":   "<clientToken>another</clientToken>" + tagSet("i-copied"),
			"i-like":     "<clientToken>another</clientToken>" + tagSet("i-1"),
			"i-late":     "<clientToken>" + someBake + "</clientToken>" + tagSet(""),
			"i-spot":     "<spotInstanceRequestId>sir-1</spotInstanceRequestId>" + tagSet("i-spot"),
			"i-spotcopy": "<spotInstanceRequestId>sir-2</spotInstanceRequestId>" + tagSet("i-spot"),
			"i-spotlate": "<spotInstanceRequestId>sir-3</spotInstanceRequestId>" + tagSet(""),
		}
		return "<reservationSet><item><instancesSet>" + each(func(id string) string {
			return "<instanceId>" + id + "</instanceId>" + rest[id]
		}, slices.DeleteFunc(slices.Sorted(maps.Keys(rest)), func(id string) bool {
			return slices.Contains(a.changes(), "us-east-1 TerminateInstances "+id)
		})...) + "</instancesSet></item></reservationSet>"
	}
	a.answers["DescribeSecurityGroups"] = func(url.Values) string {
		const name = "bakery-" + someBake
		names := map[string]string{"sg-1": name, "sg-copy": name, "sg-vpc": name, "sg-name": "production"}
		selves := map[string]string{"sg-1": "sg-1", "sg-copy": "sg-1", "sg-name": "sg-name"}
		return "<securityGroupInfo>" + each(func(id string) string {
			return "<groupId>" + id + "</groupId><groupName>" + names[id] + "</groupName>" +
				tagSet(selves[id])
		}, "sg-1", "sg-copy", "sg-vpc", "sg-name") + "</securityGroupInfo>"
	}
	a.answers["DescribeImages"] = func(url.Values) string {
		states := map[string]string{
			"ami-1": "pending", "ami-2": "available", "ami-copy": "pending", "ami-late": "pending",
			"ami-rescue": "available",
		}
		selves := map[string]string{"ami-1": "ami-1", "ami-2": "ami-2", "ami-copy": "ami-1", "ami-rescue": "ami-2"}
		snapshots := map[string]string{"ami-1": "snap-1", "ami-2": "snap-2", "ami-copy": "snap-copy",
			"ami-rescue": "snap-rescue"}
		return "<imagesSet>" + each(func(id string) string {
			return "<imageId>" + id + "</imageId><name>hello</name><imageState>" + states[id] +
				"</imageState><blockDeviceMapping><item><ebs><snapshotId>" + snapshots[id] +
				"</snapshotId></ebs></item></blockDeviceMapping>" + tagSet(selves[id])
		}, "ami-1", "ami-2", "ami-copy", "ami-late", "ami-rescue") + "</imagesSet>"
	}
	a.answers["DescribeSnapshots"] = func(url.Values) string {
		descriptions := map[string]string{
			"snap-1": "Created by CreateImage(i-1) for ami-1", "snap-2": "Created by CreateImage(i-1) for ami-2",
			"snap-3":      "Copied for DestinationAmi ami-1 from SourceAmi ami-9 for SourceSnapshot snap-9.",
			"snap-copy":   "Copied for DestinationAmi ami-copy from SourceAmi ami-1 for SourceSnapshot snap-1.",
			"snap-rescue": "Copied for DestinationAmi ami-rescue from SourceAmi ami-2 for SourceSnapshot snap-2.",
			"snap-backup": "before the weekend", "snap-orphan": "Created by CreateImage(i-1) for ami-gone",
		}
		return "<snapshotSet>" + each(func(id string) string {
			return "<snapshotId>" + id + "</snapshotId><description>" + descriptions[id] + "</description>" +
				tagSet("")
		}, slices.Sorted(maps.Keys(descriptions))...) + "</snapshotSet>"
	}
	return a
}

// TestSweepRemovesWhatIsProvedAndNothingElse: copied tags prove nothing, and what a kill kept from being tagged is
// named.
func TestSweepRemovesWhatIsProvedAndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := crowd(t)
		s, said := a.sweeper("us-east-1")
		s.Bake.CLI = bake.CLI{Region: "eu-west-1"}
		got := s.Sweep(t.Context())
		const of = " of bake " + someBake + " in us-east-1"
		late := func(what, command string) string {
			return what + " in us-east-1 has the tags of bake " + someBake + ": aws ec2 " + command +
				" --region us-east-1"
		}
		want := &Result{
			Removed: []string{
				"spot request sir-1" + of, "instance i-1" + of, "instance i-late" + of, "instance i-spot" + of,
				"volume vol-1" + of, "security group sg-1" + of, "pending image ami-1" + of, "snapshot snap-1" + of,
				"snapshot snap-3" + of,
			},
			Kept: []string{`ami-2 ("hello", available)` + of},
			Unproven: []string{
				late("spot request sir-late", "cancel-spot-instance-requests --spot-instance-request-ids sir-late"),
				late("instance i-spotlate", "terminate-instances --instance-ids i-spotlate"),
				late("volume vol-gone", "delete-volume --volume-id vol-gone"),
				late("security group sg-vpc", "delete-security-group --group-id sg-vpc"),
				late("pending image ami-late", "deregister-image --image-id ami-late"),
				late("snapshot snap-orphan", "delete-snapshot --snapshot-id snap-orphan"),
			},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("result (-want +got):\n%s", diff)
		}
		wantCalls := []string{
			"us-east-1 CancelSpotInstanceRequests sir-1", "us-east-1 TerminateInstances i-1",
			"us-east-1 TerminateInstances i-late", "us-east-1 TerminateInstances i-spot",
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
		role("20200102T030408Z"): longAgo, // a copy
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
		self := form.Get("RoleName")
		if strings.Contains(self, "0408Z") {
			self = role("20200102T030405Z")
		}
		return "<IsTruncated>false</IsTruncated><Tags>" + fmt.Sprintf(tag, "bakery:self", self) +
			fmt.Sprintf(tag, "bakery:expires", expires[form.Get("RoleName")]) +
			fmt.Sprintf(tag, "bakery:bake-id", someBake) + "</Tags>"
	}
	profile := instanceprofile.Path
	a.answers["GetInstanceProfile"] = func(form url.Values) string {
		name := form.Get("InstanceProfileName")
		return "<InstanceProfile><Path>" + profile + "</Path><InstanceProfileName>" + name + "</InstanceProfileName>" +
			"<Roles><member><RoleName>" + name + "</RoleName></member></Roles>" +
			"<Tags><member><Key>bakery:self</Key><Value>" + name + "</Value></member></Tags></InstanceProfile>"
	}
	s, _ := a.sweeper("us-east-1")
	s.Roles = true
	profile = "/mine/"
	if got := s.Sweep(t.Context()); len(got.Errs) != 1 || len(got.Removed) > 0 || len(a.changes()) > 0 ||
		!strings.Contains(got.Errs[0].Error(), "is not what a bake has made") {
		t.Errorf("with a profile of somebody else: %+v, %q", got, a.changes())
	}
	profile = instanceprofile.Path
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

// Of a bucket of another account, the bake says whose it is not, and no right is missing.
func TestSweepOfABucketOfAnotherAccount(t *testing.T) {
	for name, c := range map[string]struct {
		owner string
		want  string // in the error
	}{
		"of another":        {"111111111111", "bucket bucket does not belong to account 111111111111"},
		"without the right": {"", "list the uploads to"},
	} {
		a := newAccount(t)
		a.put("bucket", "quick/x")
		next := a.s3
		a.s3 = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Amz-Expected-Bucket-Owner") != "" || r.URL.Query().Has("uploads") {
				w.WriteHeader(http.StatusForbidden)
				if r.Method != http.MethodHead {
					fmt.Fprint(w, "<Error><Code>AccessDenied</Code></Error>")
				}
				return
			}
			next.ServeHTTP(w, r)
		})
		s, _ := a.sweeper("us-east-1")
		cfg := a.config()
		cfg.BaseEndpoint = aws.String("http://s3.example")
		s.Store = staging.New(cfg, staging.Location{Bucket: "bucket", Prefix: "quick"}, staging.Options{Owner: c.owner})
		r := s.Sweep(t.Context())
		if err := errors.Join(r.Errs...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
		if warning := r.Warning(); (warning != "") != (c.owner == "") {
			t.Errorf("%s: warning %q", name, warning)
		}
	}
}
