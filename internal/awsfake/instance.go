// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsfake

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
	"github.com/amibakery/packer-plugin-bakery/internal/guest"
)

const (
	// ReasonOwnShutdown is EC2's code for an instance that has powered itself off.
	ReasonOwnShutdown = "Client.InstanceInitiatedShutdown"
	// reasonReclaimed is EC2's code for a Spot Instance that was taken back.
	reasonReclaimed = "Server.SpotInstanceShutdown"
	// RootVolumeID is the volume of every instance.
	RootVolumeID = "vol-root"
)

// Instance is an instance of the account. Its zero value is none.
type Instance struct {
	ID         string
	Type       string
	LaunchedAt time.Time
	Terminated bool
	token      string
	attempt    string // its tag
}

// InstanceID returns the id of the nth instance that is launched, from 0.
func InstanceID(n int) string { return fmt.Sprintf("i-0123456789abcdef%d", n) }

// ConsoleText is what the machine prints, so long after its launch.
type ConsoleText struct {
	At   time.Duration
	Text string
}

// ReportKey is the key that machines must be launched with for their reports to count.
var ReportKey = guest.Key{5}

// Machine writes the reports of every machine.
var Machine = guest.Writer{
	Reader: guest.Reader{BakeID: BakeID, Key: ReportKey}, Secret: "0123456789abcdef0123456789abcdef",
}

// Success is the verdict of a machine that has baked.
var Success = "verdict ok " + Machine.Secret

// Report returns a report of the machine as it prints it. Before a success, it reports its clean-up.
func Report(seq int, text string) string {
	if text == Success {
		return Machine.Report(seq, "clean") + Machine.Report(seq+1, text)
	}
	return Machine.Report(seq, text)
}

// SetReports makes the machine report something every three seconds, in place of all that it printed so far.
func (a *Account) SetReports(texts ...string) {
	a.Console = nil
	a.Print(0, Report(0, "commit"))
	for i, text := range texts {
		a.Print(time.Duration(3*i+1)*time.Second, Report(i+1, text))
	}
}

// Print makes the machine print something, so long after its launch.
func (a *Account) Print(at time.Duration, text string) {
	a.Console = append(a.Console, ConsoleText{at, text})
}

// PrintLines makes the machine print lines of its log, encrypted with a key.
func (a *Account) PrintLines(at time.Duration, key guest.Key, lines guest.Lines) {
	for _, piece := range guest.FormatLines(BakeID, key, lines) {
		a.Print(at, piece)
	}
}

// RunUserData returns the user data that the newest instance runs, which may be staged, decompressed.
func (a *Account) RunUserData() []byte {
	if a.stagedUserData == nil {
		return a.UserData()
	}
	document, err := guest.Decompress(a.stagedUserData)
	if err != nil {
		a.t.Fatal(err)
	}
	return document
}

// UserData returns what the newest instance was launched with, decompressed.
func (a *Account) UserData() []byte {
	compressed, err := base64.StdEncoding.DecodeString(a.Requests["RunInstances"].Get("UserData"))
	if err != nil {
		a.t.Fatal(err)
	}
	document, err := guest.Decompress(compressed)
	if err != nil {
		a.t.Fatal(err)
	}
	return document
}

func (a *Account) actOnInstances(q query) (answer string, failure *Failure, known bool) {
	switch q.action {
	case "DescribeInstanceTypes":
		answer = a.describeInstanceTypes(q)
	case "RunInstances":
		answer, failure = a.runInstances(q)
	case "DescribeInstances":
		answer = a.describeInstances(q)
	case "GetConsoleOutput":
		if q.get("Latest") == "true" && !a.isNitro() {
			return "", badRequest(awscall.CodeUnsupported), true
		}
		answer = value("output", base64.StdEncoding.EncodeToString([]byte(a.consoleOutput())))
	case "ModifyInstanceAttribute":
		answer = success
	case "TerminateInstances":
		a.terminate(values(q.form, "InstanceId."))
		answer = list("instancesSet")
	case "DeleteVolume":
		delete(a.Volumes, q.get("VolumeId"))
		answer = success
	default:
		return "", nil, false
	}
	return answer, failure, true
}

func (a *Account) describeInstanceTypes(q query) string {
	var items []string
	for _, name := range values(q.form, "InstanceType.") {
		items = append(items, value("instanceType", name)+value("hypervisor", cmp.Or(a.Hypervisors[name], nitro))+
			element("processorInfo", element("supportedArchitectures", value("item", "x86_64"))))
	}
	return list("instanceTypeSet", items...)
}

const nitro = "nitro"

func (a *Account) isNitro() bool { return cmp.Or(a.Hypervisors[a.Instance.Type], nitro) == nitro }

func (a *Account) runInstances(q query) (string, *Failure) {
	token := q.get("ClientToken")
	if known, ok := a.userDataByToken[token]; ok && known != q.get("UserData") {
		return "", badRequest("IdempotentParameterMismatch")
	}
	a.userDataByToken[token] = q.get("UserData")
	if a.instancesByToken[token] == "" {
		if a.Instance.ID != "" {
			a.earlier = append(a.earlier, a.Instance)
		}
		a.Instance = Instance{
			ID: InstanceID(len(a.instancesByToken)), Type: q.get("InstanceType"), LaunchedAt: time.Now(),
			token: token, attempt: Tags(q.form, "instance")[bake.TagAttempt],
		}
		a.instancesByToken[token] = a.Instance.ID
		a.Volumes[RootVolumeID] = true
		a.commit(q)
		if q.get("InstanceMarketOptions.MarketType") == "spot" {
			a.SpotRequests[fmt.Sprintf("sir-%d", len(a.instancesByToken))] = "fulfilled"
		}
	}
	var request string
	for id := range a.SpotRequests {
		request = value("spotInstanceRequestId", id)
	}
	return list("instancesSet", value("instanceId", a.instancesByToken[token])+request), nil
}

// commitURL matches the URL in user data to which a machine puts its commitment.
var commitURL = regexp.MustCompile(`BAKERY_COMMIT_URL='https?://[^/]+/([^?']+)`)

// commit puts the commitment of a machine into the bucket, as every machine does that is launched with staging.
func (a *Account) commit(q query) {
	compressed, err := base64.StdEncoding.DecodeString(q.get("UserData"))
	if err != nil || a.NoCommitment {
		return
	}
	document, err := guest.Decompress(compressed)
	if err != nil {
		return
	}
	if m := commitURL.FindSubmatch(document); m != nil {
		a.PutObject(string(m[1]), Report(0, "commit"))
	}
}

func (a *Account) describeInstances(q query) string {
	if q.get("Filter.1.Name") != "" && a.HiddenFromSearches > 0 {
		a.HiddenFromSearches--
		return list("reservationSet")
	}
	filters := Filters(q.form)
	matches := func(name, value string) bool {
		wanted, filtered := filters[name]
		return !filtered || slices.Contains(wanted, value)
	}
	var found []string
	for _, i := range append(slices.Clone(a.earlier), a.Instance) {
		if i.ID != "" && matches("instance-id", i.ID) && matches("tag:"+bake.TagAttempt, i.attempt) {
			found = append(found, a.describe(i))
		}
	}
	return list("reservationSet", list("instancesSet", found...))
}

func (a *Account) describe(i Instance) string {
	state, reason := a.instanceState()
	switch {
	case i.Terminated:
		state = "terminated"
	case i != a.Instance:
		state = "running"
	}
	token := value("clientToken", i.token)
	for request := range a.SpotRequests { // EC2 need not tell the token of a Spot Instance
		token = value("spotInstanceRequestId", request)
	}
	var tags string
	if i.attempt != "" {
		tags = list("tagSet", value("key", bake.TagAttempt)+value("value", i.attempt))
	}
	volume := value("deviceName", "/dev/xvda") + element("ebs", value("volumeId", RootVolumeID))
	return value("instanceId", i.ID) + token + tags + element("instanceState", value("name", state)) +
		element("stateReason", value("code", reason)) + list("blockDeviceMapping", volume)
}

func (a *Account) instanceState() (state, reason string) {
	switch {
	case a.Instance.Terminated:
		return "terminated", ""
	case a.StopsAfter == 0 || time.Since(a.Instance.LaunchedAt) < a.StopsAfter:
		return "running", ""
	case len(a.instancesByToken) <= a.SpotReclaims:
		return "stopped", reasonReclaimed
	}
	return a.StopState, a.StopReason
}

func (a *Account) consoleOutput() string {
	if !a.isNitro() && time.Since(a.Instance.LaunchedAt) < a.StopsAfter+a.ConsoleLag {
		return ""
	}
	var text strings.Builder
	text.WriteString("[    0.000000] Linux version 6.1.0\r\n")
	for _, printed := range a.Console {
		if time.Since(a.Instance.LaunchedAt) >= printed.At {
			text.WriteString(printed.Text)
		}
	}
	return text.String()
}

func (a *Account) terminate(ids []string) {
	for id := range a.SpotRequests {
		a.t.Errorf("the instance was terminated while its spot request %s is open", id)
	}
	for i := range a.earlier {
		a.earlier[i].Terminated = a.earlier[i].Terminated || slices.Contains(ids, a.earlier[i].ID)
	}
	if !slices.Contains(ids, a.Instance.ID) {
		return
	}
	a.Instance.Terminated = true
	if !a.KeepsRootVolume {
		delete(a.Volumes, RootVolumeID)
	}
}
