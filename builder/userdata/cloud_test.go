// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rclone/gofakes3"
	"github.com/rclone/gofakes3/s3mem"

	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

// cloud is as much of an AWS account as one bake sees. It is an aws.HTTPClient, without any network, so that its time is
// that of a synctest bubble. The real SDK clients talk to it.
type cloud struct {
	t     *testing.T
	mu    sync.Mutex
	s3    http.Handler
	s3mem *s3mem.Backend

	calls []string              // action names, in order
	form  map[string]url.Values // the last request of each action
	at    map[string]time.Time  // when that came
	// broken answers a call instead of the cloud when it returns an error, given how often the action was called before;
	// lost answers after the cloud did what it was asked for.
	broken, lost map[string]func(n int) *failure

	console  []event // what the machine prints, and when
	stops    time.Duration
	state    string // of a machine that stops
	reason   string
	pending  time.Duration // how long an image is pending
	imageEnd string        // the state it ends in

	bakeID, instance, instanceState string
	launched                        time.Time
	group                           string
	ids                             int                      // of images, so far
	images                          map[string]*fakeImage    // by id
	snapshots                       map[string]*fakeSnapshot // by id
	hideSnapshots                   bool                     // of images
	shyOfProtection                 bool                     // images do not say that they are protected
	volumes                         map[string]bool
	sourceImage                     string // further XML of the source image

	tokens   map[string]string // instances by their client tokens
	unfound  int               // how often filters find no instance
	reclaims int               // how many Spot Instances are taken back
	requests map[string]string // statuses of the spot requests that are open
	paged    bool              // prices are told on the second page
	prices   map[string]string // of Spot Instances, by their types
	profile  map[string]bool   // what exists of the temporary instance profile
}

type event struct {
	at   time.Duration
	text string
}

type failure struct {
	status int
	code   string
}

// always fails every call of an action, first only the first n.
func always(status int, code string) func(int) *failure {
	return func(int) *failure { return &failure{status, code} }
}

func first(n, status int, code string) func(int) *failure {
	return func(called int) *failure {
		if called < n {
			return &failure{status, code}
		}
		return nil
	}
}

// second fails the second call of an action.
func second(status int, code string) func(int) *failure {
	return func(n int) *failure {
		if n == 1 {
			return &failure{status, code}
		}
		return nil
	}
}

const (
	sourceID = "ami-0123456789abcdef0"
	newID    = "ami-0fedcba9876543210"
	oldID    = "ami-0dead000000000001"
	bucket   = "bakery-test"
	testBake = "00000000000000aa"
)

// newCloud is an account in which a bake succeeds: the machine takes 20 seconds, and its image 30.
func newCloud(t *testing.T) *cloud {
	backend := s3mem.New()
	if err := backend.CreateBucket(t.Context(), bucket); err != nil {
		t.Fatal(err)
	}
	c := &cloud{
		t: t, s3mem: backend, s3: gofakes3.New(backend).Server(),
		form: map[string]url.Values{}, at: map[string]time.Time{}, broken: map[string]func(int) *failure{}, lost: map[string]func(int) *failure{},
		stops: 20 * time.Second, state: "stopped", reason: reasonOwnShutdown, pending: 30 * time.Second, imageEnd: "available",
		images: map[string]*fakeImage{}, snapshots: map[string]*fakeSnapshot{}, volumes: map[string]bool{},
		tokens: map[string]string{}, requests: map[string]string{}, profile: map[string]bool{},
	}
	c.reports("begin 2", "start 1 script/install.sh", "end 1 0 script/install.sh", "start 2 60_app.cfg", "end 2 0 60_app.cfg",
		"verdict ok 0 -")
	return c
}

// reports lets the machine report something every three seconds.
func (c *cloud) reports(texts ...string) {
	c.console = nil
	for i, text := range texts {
		c.console = append(c.console, event{time.Duration(3*i+1) * time.Second, reportLine(testBake, i+1, text)})
	}
}

func reportLine(id string, seq int, text string) string {
	return guest.FormatReport(id, seq, text)
}

// Do implements aws.HTTPClient.
func (c *cloud) Do(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	w := httptest.NewRecorder()
	switch {
	case strings.Contains(r.URL.Host, ".s3."):
		c.object(w, r)
	case strings.HasPrefix(r.URL.Host, "ssm."):
		c.calls = append(c.calls, "GetParameter")
		fmt.Fprintf(w, `{"Parameter":{"Value":%q}}`, sourceID)
	default:
		c.query(w, r)
	}
	response := w.Result()
	response.Request = r
	return response, nil
}

func (c *cloud) object(w http.ResponseWriter, r *http.Request) {
	r.RequestURI = r.URL.RequestURI()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	body, err := io.ReadAll(r.Body) // all of it: a checksum follows the content
	if err != nil {
		c.t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if in, _, ok := strings.Cut(r.URL.Host, ".s3."); ok {
		r.URL.Path = strings.TrimSuffix("/"+in+r.URL.Path, "/")
	}
	if r.ContentLength > 0 {
		r.Header.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10)) // what a network would bring
	}
	action := r.Method + " object"
	c.calls = append(c.calls, action)
	if f := c.failure(c.broken, action); f != nil {
		w.WriteHeader(f.status)
		return
	}
	c.s3.ServeHTTP(w, r)
}

func (c *cloud) query(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Error(err)
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		c.t.Error(err)
	}
	action := form.Get("Action")
	c.calls = append(c.calls, action)
	c.form[action], c.at[action] = form, time.Now()
	if f := c.failure(c.broken, action); f != nil {
		f.write(w)
		return
	}
	answer, f := c.act(action, regionOf(r), form)
	if f == nil {
		f = c.failure(c.lost, action)
	}
	if f != nil {
		f.write(w)
		return
	}
	fmt.Fprintf(w, "<%sResponse>%s</%sResponse>", action, answer, action)
}

func (c *cloud) failure(of map[string]func(int) *failure, action string) *failure {
	if of[action] == nil {
		return nil
	}
	return of[action](c.count(action) - 1)
}

func (c *cloud) count(action string) int {
	n := 0
	for _, a := range c.calls {
		if a == action {
			n++
		}
	}
	return n
}

func (f *failure) write(w http.ResponseWriter) {
	w.WriteHeader(f.status)
	if f.code == "InvalidClientTokenId" || f.code == codeNoEntity || f.code == codeEntityExists || f.code == codeDeleteConflict || f.code == "AccessDenied" { // STS and IAM have a form of their own
		fmt.Fprintf(w, "<ErrorResponse><Error><Code>%s</Code><Message>the test says so</Message></Error></ErrorResponse>", f.code)
		return
	}
	fmt.Fprintf(w, "<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors></Response>", f.code, f.message())
}

func (f *failure) message() string {
	if f.code == codeParameterValue {
		return "Value (bakery) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name"
	}
	return "the test says so"
}

func (c *cloud) act(action, region string, form url.Values) (string, *failure) {
	switch action {
	case "GetCallerIdentity":
		return "<GetCallerIdentityResult><Account>123456789012</Account></GetCallerIdentityResult>", nil
	case "DescribeInstanceTypes":
		return "<instanceTypeSet><item><processorInfo><supportedArchitectures><item>x86_64</item></supportedArchitectures></processorInfo></item></instanceTypeSet>", nil
	case "DescribeVpcs":
		return "<vpcSet><item><vpcId>vpc-1</vpcId></item></vpcSet>", nil
	case "DescribeSubnets":
		return "<subnetSet><item><subnetId>subnet-1</subnetId><vpcId>vpc-1</vpcId><availabilityZone>us-east-1a</availabilityZone><availableIpAddressCount>9</availableIpAddressCount></item>" +
			"<item><subnetId>subnet-2</subnetId><vpcId>vpc-1</vpcId><availableIpAddressCount>99</availableIpAddressCount></item></subnetSet>", nil
	case "DescribeSecurityGroups":
		return c.describeGroups(form), nil
	case "CreateSecurityGroup":
		if c.group != "" {
			return "", &failure{400, codeGroupDuplicate}
		}
		c.group = form.Get("GroupName")
		return "<groupId>sg-new</groupId>", nil
	case "DeleteSecurityGroup":
		c.group = ""
		return "<return>true</return>", nil
	case "DeleteVolume":
		delete(c.volumes, form.Get("VolumeId"))
		return "<return>true</return>", nil
	}
	if answer, f, done := c.actOnImage(action, region, form); done {
		return answer, f
	}
	return c.actOnInstance(action, form)
}

func (c *cloud) actOnInstance(action string, form url.Values) (string, *failure) {
	switch action {
	case "RunInstances":
		return c.runInstances(form), nil
	case "DescribeInstances":
		if form.Get("Filter.1.Name") != "" && c.unfound > 0 {
			c.unfound--
			return "<reservationSet/>", nil
		}
		return c.describeInstances(), nil
	case "GetConsoleOutput":
		return "<output>" + base64.StdEncoding.EncodeToString([]byte(c.text())) + "</output>", nil
	case "TerminateInstances":
		for id := range c.requests {
			c.t.Errorf("the machine was terminated while its spot request %s is open", id)
		}
		c.instanceState = "terminated"
		if c.sourceImage == "" {
			delete(c.volumes, "vol-root")
		}
		return "<instancesSet/>", nil
	}
	return c.actOnAccount(action, form)
}

func (c *cloud) runInstances(form url.Values) string {
	token := form.Get("ClientToken")
	if c.tokens[token] == "" {
		c.tokens[token] = fmt.Sprintf("i-0123456789abcdef%d", len(c.tokens))
		c.instance, c.instanceState, c.launched = c.tokens[token], "", time.Now()
		c.bakeID, _, _ = strings.Cut(token, "-")
		c.volumes["vol-root"] = true
		if form.Get("InstanceMarketOptions.MarketType") == "spot" {
			c.requests[fmt.Sprintf("sir-%d", len(c.tokens))] = "fulfilled"
		}
	}
	var request string
	for id := range c.requests {
		request = "<spotInstanceRequestId>" + id + "</spotInstanceRequestId>"
	}
	return "<instancesSet><item><instanceId>" + c.tokens[token] + "</instanceId>" + request + "</item></instancesSet>"
}

// actOnAccount answers what is about Spot Instances and IAM.
func (c *cloud) actOnAccount(action string, form url.Values) (string, *failure) {
	switch action {
	case "DescribeSpotPriceHistory":
		if c.paged && form.Get("NextToken") == "" {
			return "<spotPriceHistorySet/><nextToken>2</nextToken>", nil
		}
		var items string
		for name, price := range c.prices {
			items += "<item><instanceType>" + name + "</instanceType><spotPrice>" + price + "</spotPrice><availabilityZone>us-east-1a</availabilityZone></item>"
		}
		return "<spotPriceHistorySet>" + items + "</spotPriceHistorySet>", nil
	case "DescribeSpotInstanceRequests":
		var items string
		for id, status := range c.requests {
			items += "<item><spotInstanceRequestId>" + id + "</spotInstanceRequestId><status><code>" + status + "</code></status></item>"
		}
		return "<spotInstanceRequestSet>" + items + "</spotInstanceRequestSet>", nil
	case "CancelSpotInstanceRequests":
		delete(c.requests, form.Get("SpotInstanceRequestId.1"))
		return "<spotInstanceRequestSet/>", nil
	case "ListRoles":
		return "<ListRolesResult/>", nil
	case "GetInstanceProfile":
		return "<GetInstanceProfileResult/>", nil
	case "CreateRole", "PutRolePolicy", "CreateInstanceProfile", "AddRoleToInstanceProfile":
		made := strings.NewReplacer("Create", "", "Put", "", "AddRoleTo", "RoleOf").Replace(action)
		if c.profile[made] && strings.HasPrefix(action, "Create") {
			return "", &failure{409, codeEntityExists}
		}
		c.profile[made] = true
		return "<" + action + "Result/>", nil
	case "DeleteRole", "DeleteRolePolicy", "DeleteInstanceProfile", "RemoveRoleFromInstanceProfile":
		made := strings.NewReplacer("Delete", "", "RemoveRoleFrom", "RoleOf").Replace(action)
		if !c.profile[made] {
			return "", &failure{404, codeNoEntity}
		}
		delete(c.profile, made)
		return "", nil
	}
	c.t.Errorf("the test's cloud does not know %s", action)
	return "", &failure{400, "InvalidAction"}
}

func (c *cloud) describeGroups(form url.Values) string {
	if id := form.Get("GroupId.1"); id != "" {
		return "<securityGroupInfo><item><groupId>" + id + "</groupId><vpcId>vpc-1</vpcId></item></securityGroupInfo>"
	}
	if class := form.Get("Filter.1.Name"); class == "tag:Class" || class == "group-name" && form.Get("Filter.2.Name") == "vpc-id" {
		if form.Get("Filter.1.Value.1") == "nothing" {
			return "<securityGroupInfo/>"
		}
		return "<securityGroupInfo><item><groupId>sg-found</groupId><vpcId>vpc-1</vpcId></item></securityGroupInfo>"
	}
	if c.group == form.Get("Filter.1.Value.1") {
		return "<securityGroupInfo><item><groupId>sg-new</groupId></item></securityGroupInfo>"
	}
	return "<securityGroupInfo/>"
}

func (c *cloud) describeInstances() string {
	if c.instance == "" {
		return "<reservationSet/>"
	}
	state, reason := "running", ""
	if c.instanceState != "" {
		state = c.instanceState
	} else if c.stops > 0 && time.Since(c.launched) >= c.stops {
		state, reason = c.state, c.reason
		if len(c.tokens) <= c.reclaims {
			state, reason = "stopped", "Server.SpotInstanceShutdown"
		}
		reason = "<stateReason><code>" + reason + "</code></stateReason>"
	}
	return "<reservationSet><item><instancesSet><item><instanceId>" + c.instance + "</instanceId><instanceState><name>" + state +
		"</name></instanceState>" + reason + "<blockDeviceMapping><item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-root</volumeId></ebs></item></blockDeviceMapping>" +
		"</item></instancesSet></item></reservationSet>"
}

func (c *cloud) text() string {
	var text strings.Builder
	text.WriteString("[    0.000000] Linux version 6.1.0\r\n")
	for _, e := range c.console {
		if time.Since(c.launched) >= e.at {
			text.WriteString(e.text)
		}
	}
	return text.String()
}

// left is what exists that did not exist before the bake, but its image when that succeeded.
func (c *cloud) left() []string {
	var left []string
	if c.instance != "" && c.instanceState != "terminated" {
		left = append(left, c.instance)
	}
	if c.group != "" {
		left = append(left, c.group)
	}
	for id := range c.volumes {
		left = append(left, id)
	}
	left = append(left, c.madeImages()...)
	for id := range c.requests {
		left = append(left, id)
	}
	for made := range c.profile {
		left = append(left, made)
	}
	left = append(left, c.objects()...)
	slices.Sort(left)
	return left
}

func (c *cloud) objects() []string {
	list, err := c.s3mem.ListBucket(c.t.Context(), bucket, nil, gofakes3.ListBucketPage{})
	if err != nil {
		c.t.Fatal(err)
	}
	var keys []string
	for _, o := range list.Contents {
		keys = append(keys, o.Key)
	}
	return keys
}

// userData is what the machine was launched with.
func (c *cloud) userData() []byte {
	compressed, err := base64.StdEncoding.DecodeString(c.form["RunInstances"].Get("UserData"))
	if err != nil {
		c.t.Fatal(err)
	}
	document, err := guest.Decompress(compressed)
	if err != nil {
		c.t.Fatal(err)
	}
	return document
}
