// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab_test

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/amibakery/packer-plugin-bakery/internal/lab"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/ec2"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iamapi"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/labtest"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/model"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/model/botocore"
	s3api "github.com/amibakery/packer-plugin-bakery/internal/lab/s3"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/ssm"
)

// acceptedDifferences are those between the lab and the models of botocore, as patterns of what TestBotocoresModels
// prints, each with its reason.
var acceptedDifferences = []struct{ pattern, reason string }{
	{`^ec2 \w+ .*InstanceType(\.\d)?: the value \S+ is refused`, "the lab has a few of the thousand types"},
	{`^ec2 CreateLaunchTemplate .*InstanceType: the value "made-up" is accepted`,
		"a template is checked when it is used"},
	{`^ec2 CreateFleet .*InstanceType: the value "made-up" is accepted: 400 UnsupportedOperation`,
		"the lab has fleets of the type instant with one instance, and refuses others first"},
	{`^ec2 ModifyImageAttribute ImdsSupport.Value: the value abc is refused`,
		"it can be v2.0 alone, as the API reference says"},
	{`^ssm GetParametersByPath .*The parameter name must begin with a forward slash`,
		"the model does not say what a path is"},
	{`^s3 \w+ Content-Length: the value "many" is accepted`, "Go's client writes this header itself"},
	{`^sts AssumeRole DurationSeconds: the value 43200 is refused: The requested DurationSeconds exceeds the MaxSession`,
		"a role says itself how long its sessions may be"},
	{`^s3 ListObjectsV2 x-amz-optional-object-attributes`, "the lab lists objects without optional attributes"},
	{`^sts AssumeRole Policy: the value "a+" is accepted`, "older models have a lower limit"},
}

// TestBotocoresModels compares what the lab accepts with each botocore on this computer: for each action that the lab
// serves, it leaves out each required parameter, sends one that does not exist, and sends each parameter with every
// value that is allowed and with some that are not. tools/lab-models.sh prints what differs.
func TestBotocoresModels(t *testing.T) {
	t.Parallel()
	dirs := botocore.Dirs()
	if len(dirs) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("there is no botocore here: make setup installs it")
		}
		t.Skip("there is no botocore here: make setup installs it")
	}
	for _, dir := range dirs {
		for service, actions := range map[string][]string{
			"ec2": ec2.Actions(), "iam": iamapi.Actions(), "s3": s3api.Actions(), "ssm": ssm.Actions(),
			"sts": {"AssumeRole", "DecodeAuthorizationMessage", "GetCallerIdentity"},
		} {
			m, err := botocore.Read(dir, service)
			if err != nil {
				t.Fatal(err)
			}
			p := &prober{t: t, lab: labtest.Start(t, lab.Options{}), service: service, model: m}
			for _, action := range actions {
				o, ok := m.Operations[action]
				switch {
				case !ok || o.Input.Shape == "":
				case service == "s3":
					p.members(action, m.Shapes[o.Input.Shape], m.Shapes[o.Input.Shape], nil, nil)
				default:
					p.action(action, m.Shapes[o.Input.Shape])
				}
			}
			accepted := map[string]int{} // by reason
			for _, d := range p.differences {
				if reason := reasonFor(d); reason != "" {
					accepted[reason]++
				} else {
					t.Errorf("botocore %s: %s", botocore.Version(dir), d)
				}
			}
			t.Logf("botocore %s: %d requests to %s", botocore.Version(dir), p.requests, service)
			for _, reason := range slices.Sorted(maps.Keys(accepted)) {
				t.Logf("  %d differences are accepted: %s", accepted[reason], reason)
			}
		}
	}
}

// reasonFor returns why a difference is accepted; "" when it is not.
func reasonFor(difference string) string {
	for _, a := range acceptedDifferences {
		if regexp.MustCompile(a.pattern).MatchString(difference) {
			return a.reason
		}
	}
	return ""
}

// prober sends requests to a lab that follow a model, or do not.
type prober struct {
	t           *testing.T
	lab         *labtest.Lab
	service     string
	model       *botocore.Model
	requests    int
	differences []string
}

func (p *prober) differ(action string, path []string, format string, args ...any) {
	p.differences = append(p.differences,
		fmt.Sprintf("%s %s %s: %s", p.service, action, strings.Join(path, "."), fmt.Sprintf(format, args...)))
}

func (p *prober) action(action string, in *botocore.Shape) {
	p.refuses(action, in, []string{"MadeUpParameter"}, "x", "MadeUpParameter")
	for _, member := range in.Required {
		request := p.valid(in)
		name := p.wire(in, member)
		delete(request.Children, name)
		if a := p.send(action, request); !isRefusal(a) {
			p.differ(action, []string{name}, "it is required, and the answer without it is %d %s", a.status, a.code)
		}
	}
	p.members(action, in, in, nil, nil)
}

// members probes the members of a structure. seen are the shapes on the way to it: some contain themselves.
func (p *prober) members(action string, top, in *botocore.Shape, path, seen []string) {
	for _, member := range slices.Sorted(maps.Keys(in.Members)) {
		if p.wire(in, member) == "" { // of S3, in the path or in the body
			continue
		}
		p.shape(action, top, append(slices.Clone(path), p.wire(in, member)), in.Members[member].Shape, seen)
	}
}

func (p *prober) shape(action string, top *botocore.Shape, path []string, name string, seen []string) {
	shape := p.model.Shapes[name]
	if slices.Contains(seen, name) {
		return
	}
	seen = append(slices.Clone(seen), name)
	switch shape.Type {
	case "structure":
		p.refuses(action, top, append(slices.Clone(path), "MadeUpMember"), "x", "MadeUpMember")
		p.members(action, top, shape, path, seen)
		return
	case "list":
		p.shape(action, top, append(slices.Clone(path), "1"), shape.Member.Shape, seen)
		return
	}
	for _, value := range p.good(shape) {
		a := p.send(action, p.with(top, path, value))
		isOther := a.code == "MissingParameter" || !strings.Contains(a.message, path[len(path)-1])
		if isRefusal(a) && !isOther {
			p.differ(action, path, "the value %s is refused: %s", value, a.message)
		}
	}
	for _, value := range bad(shape) {
		p.refuses(action, top, path, value, "")
	}
}

// refuses asserts that the lab refuses a request with a wrong value, with a message that has a word.
func (p *prober) refuses(action string, top *botocore.Shape, path []string, value, word string) {
	if a := p.send(action, p.with(top, path, value)); !isRefusal(a) || !strings.Contains(a.message, word) {
		p.differ(action, path, "the value %.40q is accepted: %d %s %s", value, a.status, a.code, a.message)
	}
}

// isRefusal reports whether the lab has refused a parameter, and not what the request is about.
func isRefusal(a answer) bool {
	return a.status >= http.StatusBadRequest && slices.Contains([]string{
		"MissingParameter", "UnknownParameter", invalidValue, "InvalidParameterCombination", "ValidationError",
		"ValidationException", "InvalidAMIName.Malformed", "InvalidInstanceType",
		"SerializationException", "InvalidArgument", "InvalidStorageClass",
		"InvalidLaunchTemplateName.MalformedException",
	}, a.code)
}

func (p *prober) wire(in *botocore.Shape, member string) string {
	return in.Members[member].NameIn(p.model.Metadata.Protocol, member)
}

// with returns a request with a value, and with the required members of each structure on the way to it.
func (p *prober) with(top *botocore.Shape, path []string, value string) *model.Node {
	request := p.valid(top)
	n, shape := request, top
	for _, name := range path {
		isNew := n.Children[name] == nil
		n.Add([]string{name}, "")
		if shape = p.at(shape, name); isNew && shape != nil && shape.Type == "structure" {
			n.Children[name] = p.valid(shape)
		}
		n = n.Children[name]
	}
	n.Value = value
	return request
}

// at returns the shape of a member or of an item; nil when there is none.
func (p *prober) at(in *botocore.Shape, name string) *botocore.Shape {
	switch {
	case in == nil:
		return nil
	case in.Type == "list":
		return p.model.Shapes[in.Member.Shape]
	}
	for member, m := range in.Members {
		if p.wire(in, member) == name {
			return p.model.Shapes[m.Shape]
		}
	}
	return nil
}

// valid returns a structure with its required members alone.
func (p *prober) valid(in *botocore.Shape) *model.Node {
	n := &model.Node{Children: map[string]*model.Node{}}
	for _, member := range in.Required {
		n.Children[p.wire(in, member)] = p.validValue(p.model.Shapes[in.Members[member].Shape])
	}
	return n
}

func (p *prober) validValue(shape *botocore.Shape) *model.Node {
	switch shape.Type {
	case "structure":
		return p.valid(shape)
	case "list":
		return &model.Node{Children: map[string]*model.Node{"1": p.validValue(p.model.Shapes[shape.Member.Shape])}}
	}
	return &model.Node{Value: p.good(shape)[0]}
}

// arnLength is how long the models say that an ARN is at least.
const arnLength = 20

// good returns values that a shape allows: each value of an enumeration, or one of the least and of the greatest
// length.
func (p *prober) good(shape *botocore.Shape) []string {
	switch shape.Type {
	case "boolean":
		return []string{"true", "false"}
	case "integer", "long", "double", "float":
		return numbers(shape)
	case "timestamp":
		return []string{"2030-01-01T00:00:00Z"}
	case "blob":
		return []string{"eA=="}
	}
	if len(shape.Enum) > 0 {
		return shape.Enum
	}
	for _, c := range []string{"arn:aws:iam::123456789012:role/r", "abc", "/", "1", "Name", "/bucket/key"} {
		length := leastLength(shape)
		if strings.HasPrefix(c, "arn:") && length < arnLength {
			continue
		}
		if len(c) < length {
			c = strings.Repeat(c, length/len(c)+1)[:length]
		}
		if allows(shape, c) {
			return []string{c}
		}
	}
	p.t.Fatalf("no value for the pattern %s", shape.Pattern)
	return nil
}

func numbers(shape *botocore.Shape) []string {
	low := 1.0
	if shape.Min != nil {
		low = *shape.Min
	}
	all := []string{strconv.FormatFloat(low, 'f', -1, 64)}
	if shape.Max != nil {
		all = append(all, strconv.FormatFloat(*shape.Max, 'f', -1, 64))
	}
	return all
}

func leastLength(shape *botocore.Shape) int {
	if shape.Min == nil {
		return 1
	}
	return max(1, int(*shape.Min))
}

func allows(shape *botocore.Shape, value string) bool {
	if shape.Pattern == "" {
		return true
	}
	p, err := model.CompilePattern(shape.Pattern)
	return err == nil && p.MatchString(value)
}

// bad returns values that a shape does not allow.
func bad(shape *botocore.Shape) []string {
	switch shape.Type {
	case "boolean":
		return []string{"maybe"}
	case "integer", "long", "double", "float":
		all := []string{"many"}
		if shape.Min != nil {
			all = append(all, strconv.FormatFloat(*shape.Min-1, 'f', -1, 64))
		}
		if shape.Max != nil {
			all = append(all, strconv.FormatFloat(*shape.Max+1, 'f', -1, 64))
		}
		return all
	case "timestamp", "blob":
		return nil
	}
	var all []string
	if len(shape.Enum) > 0 {
		all = append(all, "made-up")
	}
	if shape.Min != nil && *shape.Min > 1 {
		all = append(all, strings.Repeat("a", int(*shape.Min)-1))
	}
	if shape.Max != nil && *shape.Max < 1<<17 {
		all = append(all, strings.Repeat("a", int(*shape.Max)+1))
	}
	for _, c := range []string{"a b\"", "*", "\x01"} {
		if !allows(shape, c) {
			return append(all, c)
		}
	}
	return all
}

// send sends a request in the service's protocol. Those to EC2 are dry runs, unless they say otherwise.
func (p *prober) send(action string, request *model.Node) answer {
	p.requests++
	if p.service == "s3" {
		return p.sendToS3(action, request)
	}
	if p.service == "ssm" {
		body, err := json.Marshal(document(request))
		if err != nil {
			p.t.Fatal(err)
		}
		a := send(p.t, p.lab, "ssm", http.Header{"Content-Type": {"application/x-amz-json-1.1"},
			"X-Amz-Target": {"AmazonSSM." + action}}, string(body))
		var x struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}
		if a.status != http.StatusOK {
			if err := json.Unmarshal([]byte(a.body), &x); err != nil {
				p.t.Fatal(err)
			}
		}
		a.code, a.message = x.Type, x.Message
		return a
	}
	form := url.Values{"Action": {action}}
	p.fill(form, "", request)
	if p.service == "ec2" && !form.Has("DryRun") {
		form.Set("DryRun", "true")
	}
	return query(p.t, p.lab, p.service, form.Encode())
}

// sendToS3 sends a request with members in its headers and in its URL.
func (p *prober) sendToS3(action string, request *model.Node) answer {
	p.t.Helper()
	o := p.model.Operations[action]
	in := p.model.Shapes[o.Input.Shape]
	path, query, _ := strings.Cut(o.HTTP.URI, "?")
	path = strings.NewReplacer("{Bucket}", "/"+lab.Bucket, "{Key+}", "key").Replace(path)
	values, err := url.ParseQuery(query)
	if err != nil {
		p.t.Fatal(err)
	}
	header := http.Header{}
	for _, m := range in.Members {
		switch n := request.Children[m.LocationName]; {
		case n == nil:
		case m.Location == "header":
			header.Set(m.LocationName, n.Value)
		case m.Location == "querystring":
			values.Set(m.LocationName, n.Value)
		}
	}
	path = strings.ReplaceAll(path, "//", "/")
	a := sendTo(p.t, p.lab, "s3", o.HTTP.Method, path+"?"+values.Encode(), header, "")
	var x struct{ Code, Message string }
	if a.status >= http.StatusBadRequest && xml.Unmarshal([]byte(a.body), &x) == nil {
		a.code, a.message = x.Code, x.Message
	}
	if o.HTTP.Method == http.MethodHead && a.status == http.StatusBadRequest { // which has no body
		a.code = "InvalidArgument"
	}
	return a
}

// fill writes a request as a form.
func (p *prober) fill(form url.Values, prefix string, n *model.Node) {
	if len(n.Children) == 0 && prefix != "" {
		form.Set(prefix, n.Value)
	}
	for name, child := range n.Children {
		at := name
		if _, err := strconv.Atoi(name); err == nil && p.service != "ec2" {
			at = "member." + name
		}
		if prefix != "" {
			at = prefix + "." + at
		}
		p.fill(form, at, child)
	}
}

// document returns a request as JSON has it. Numbers and booleans are those that look like one.
func document(n *model.Node) any {
	if n.Children["1"] != nil {
		var list []any
		for i := range len(n.Children) {
			list = append(list, document(n.Children[strconv.Itoa(i+1)]))
		}
		return list
	}
	if n.Children != nil {
		object := map[string]any{}
		for name, child := range n.Children {
			object[name] = document(child)
		}
		return object
	}
	if v, err := strconv.Atoi(n.Value); err == nil {
		return v
	}
	if n.Value == "true" || n.Value == "false" {
		return n.Value == "true"
	}
	return n.Value
}

// Every list pages, and has the filters that EC2's documentation lists.
func TestEveryListOfEC2(t *testing.T) {
	t.Parallel()
	l := labtest.Start(t, lab.Options{})
	table := parameterTable(t)
	for _, action := range ec2.Actions() {
		if table.Has(action, "NextToken") {
			if a := query(t, l, "ec2", "Action="+action+"&NextToken=zzz"); a.code != "InvalidNextToken" {
				t.Errorf("%s does not page: %d %s", action, a.status, a.code)
			}
		}
		if !table.Has(action, "Filter") {
			continue
		}
		filters := table.Operations[action].Filters
		if len(filters) == 0 {
			t.Errorf("%s has no filters", action)
		}
		for _, name := range append(slices.Clone(filters), "made-up") {
			name = strings.Replace(name, "<key>", "k", 1)
			a := query(t, l, "ec2", "Action="+action+"&Filter.1.Value.1=none&Filter.1.Name="+url.QueryEscape(name))
			if want := map[bool]string{true: invalidValue}[name == "made-up"]; a.code != want {
				t.Errorf("%s with the filter %s: %q: %s", action, name, a.code, a.message)
			}
		}
	}
}
