// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package sweep

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	packersdk "github.com/hashicorp/packer-plugin-sdk/packer"
	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// account is an AWS account with answers that are prepared: an aws.HTTPClient, which the real SDK clients talk to.
// Every answer has a Date, so the clock of the bake is set.
type account struct {
	t       *testing.T
	s3      http.Handler
	answers map[string]func(url.Values) string // XML by the name of the call; no entry is an empty answer
	denied  map[string]bool                    // the names of calls that the account does not allow

	mu    sync.Mutex
	calls []string // as "us-east-1 DeleteVolume vol-1", with the first id of the call
}

func newAccount(t *testing.T) *account {
	t.Helper()
	return &account{
		t: t, s3: gofakes3.New(s3mem.New()).Server(),
		answers: map[string]func(url.Values) string{}, denied: map[string]bool{},
	}
}

// Do implements aws.HTTPClient.
func (a *account) Do(r *http.Request) (*http.Response, error) {
	out := httptest.NewRecorder()
	out.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
	service, rest, _ := strings.Cut(r.URL.Host, ".")
	if service != "ec2" && service != "iam" {
		if r.Body == nil {
			r.Body = http.NoBody
		}
		r.RequestURI = r.URL.RequestURI()
		a.s3.ServeHTTP(out, r)
		return out.Result(), nil
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	action := form.Get("Action")
	region, _, _ := strings.Cut(rest, ".")
	a.record(region, action, form)
	if a.denied[action] {
		out.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(out, "<Response><Errors><Error><Code>UnauthorizedOperation</Code></Error></Errors></Response>")
		return out.Result(), nil
	}
	text := ""
	if answer := a.answers[action]; answer != nil {
		text = answer(form)
	}
	if service == "iam" {
		text = fmt.Sprintf("<%[1]sResult>%[2]s</%[1]sResult>", action, text)
	}
	fmt.Fprintf(out, "<%[1]sResponse>%[2]s</%[1]sResponse>", action, text)
	return out.Result(), nil
}

func (a *account) record(region, action string, form url.Values) {
	a.mu.Lock()
	defer a.mu.Unlock()
	call := region + " " + action
	for _, name := range []string{
		"InstanceId.1", "SpotInstanceRequestId.1", "VolumeId", "GroupId", "ImageId", "SnapshotId", "RoleName",
		"InstanceProfileName",
	} {
		if id := form.Get(name); id != "" {
			call += " " + id
		}
	}
	a.calls = append(a.calls, call)
}

// changes returns the calls that change something.
func (a *account) changes() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(a.calls), func(call string) bool {
		return strings.Contains(call, " Describe") || strings.Contains(call, " List") || strings.Contains(call, " Get")
	})
}

func (a *account) config() aws.Config {
	return aws.Config{
		Region: "us-east-1", HTTPClient: a, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
	}
}

// sweeper returns a sweeper of the account, and what it says.
func (a *account) sweeper(regions ...string) (*Sweeper, *bytes.Buffer) {
	said := new(bytes.Buffer)
	clients := awscall.New(a.config(), func(cfg aws.Config) *ec2.Client { return ec2.NewFromConfig(cfg) })
	return &Sweeper{
		Bake: &bake.Bake{UI: &packersdk.BasicUi{Writer: said}}, Clients: &clients, Regions: regions,
	}, said
}

// tags returns the answer of DescribeTags for things with their kinds, which all have expired. A third word is the id
// that a thing has as its tag, in place of its own; "-" is none.
func tags(things ...string) func(url.Values) string {
	return func(form url.Values) string {
		items := ""
		item := func(id, kind, key, value string) {
			items += fmt.Sprintf("<item><resourceId>%s</resourceId><resourceType>%s</resourceType>"+
				"<key>%s</key><value>%s</value></item>", id, kind, key, value)
		}
		for _, thing := range things {
			id, kind, _ := strings.Cut(thing, " ")
			kind, self, isOther := strings.Cut(kind, " ")
			if !isOther {
				self = id
			}
			if form.Get("Filter.1.Value.1") == bake.TagExpires {
				item(id, kind, bake.TagExpires, longAgo)
				continue
			}
			item(id, kind, bake.TagBake, someBake)
			item(id, kind, bake.TagSource, "ami-source")
			if self != "-" {
				item(id, kind, bake.TagSelf, self)
			}
		}
		return "<tagSet>" + items + "</tagSet>"
	}
}

// tagSet returns the tags of a bake as the other calls of EC2 list them, with an id as the tag of its own.
func tagSet(self string) string {
	return "<tagSet><item><key>" + bake.TagBake + "</key><value>" + someBake + "</value></item><item><key>" +
		bake.TagSelf + "</key><value>" + self + "</value></item></tagSet>"
}

const (
	someBake = "0123456789abcdef"
	longAgo  = "1999-01-02T03:04:05Z" // before the time of a synctest bubble, too
	farAway  = "2999-01-02T03:04:05Z"
)

// put puts an object into the account's S3.
func (a *account) put(bucket, key string) {
	a.t.Helper()
	for _, path := range []string{bucket, bucket + "/" + key} {
		r := httptest.NewRequestWithContext(a.t.Context(), http.MethodPut, "http://s3.example/"+path, http.NoBody)
		r.Header.Set("Content-Length", "0") // which the fake reads from the header
		out := httptest.NewRecorder()
		a.s3.ServeHTTP(out, r)
		if out.Code != http.StatusOK && out.Code != http.StatusConflict {
			a.t.Fatalf("PUT %s: %d %s", path, out.Code, out.Body)
		}
	}
}
