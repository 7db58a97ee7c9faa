// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsfake

import (
	"encoding/base64"
	"fmt"
	"strings"
	"time"

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
	LaunchedAt time.Time
	Terminated bool
}

// InstanceID returns the id of the nth instance that is launched, from 0.
func InstanceID(n int) string { return fmt.Sprintf("i-0123456789abcdef%d", n) }

// ConsoleText is what the machine prints, so long after its launch.
type ConsoleText struct {
	At   time.Duration
	Text string
}

// Report returns a report of the machine as it prints it.
func Report(seq int, text string) string { return guest.FormatReport(BakeID, seq, text) }

// SetReports makes the machine report something every three seconds, in place of all that it printed so far.
func (a *Account) SetReports(texts ...string) {
	a.Console = nil
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
		architectures := element("supportedArchitectures", value("item", "x86_64"))
		answer = list("instanceTypeSet", element("processorInfo", architectures))
	case "RunInstances":
		answer = a.runInstances(q)
	case "DescribeInstances":
		answer = a.describeInstances(q)
	case "GetConsoleOutput":
		answer = value("output", base64.StdEncoding.EncodeToString([]byte(a.consoleOutput())))
	case "ModifyInstanceAttribute":
		answer = success
	case "TerminateInstances":
		a.terminate()
		answer = list("instancesSet")
	case "DeleteVolume":
		delete(a.Volumes, q.get("VolumeId"))
		answer = success
	default:
		return "", nil, false
	}
	return answer, nil, true
}

func (a *Account) runInstances(q query) string {
	token := q.get("ClientToken")
	if a.instancesByToken[token] == "" {
		a.Instance = Instance{ID: InstanceID(len(a.instancesByToken)), LaunchedAt: time.Now()}
		a.instancesByToken[token] = a.Instance.ID
		a.Volumes[RootVolumeID] = true
		if q.get("InstanceMarketOptions.MarketType") == "spot" {
			a.SpotRequests[fmt.Sprintf("sir-%d", len(a.instancesByToken))] = "fulfilled"
		}
	}
	var request string
	for id := range a.SpotRequests {
		request = value("spotInstanceRequestId", id)
	}
	return list("instancesSet", value("instanceId", a.instancesByToken[token])+request)
}

func (a *Account) describeInstances(q query) string {
	if q.get("Filter.1.Name") != "" && a.HiddenFromSearches > 0 {
		a.HiddenFromSearches--
		return list("reservationSet")
	}
	if a.Instance.ID == "" {
		return list("reservationSet")
	}
	state, reason := a.instanceState()
	volume := value("deviceName", "/dev/xvda") + element("ebs", value("volumeId", RootVolumeID))
	return list("reservationSet", list("instancesSet",
		value("instanceId", a.Instance.ID)+element("instanceState", value("name", state))+
			element("stateReason", value("code", reason))+list("blockDeviceMapping", volume)))
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
	var text strings.Builder
	text.WriteString("[    0.000000] Linux version 6.1.0\r\n")
	for _, printed := range a.Console {
		if time.Since(a.Instance.LaunchedAt) >= printed.At {
			text.WriteString(printed.Text)
		}
	}
	return text.String()
}

func (a *Account) terminate() {
	for id := range a.SpotRequests {
		a.t.Errorf("the instance was terminated while its spot request %s is open", id)
	}
	a.Instance.Terminated = true
	if !a.KeepsRootVolume {
		delete(a.Volumes, RootVolumeID)
	}
}
