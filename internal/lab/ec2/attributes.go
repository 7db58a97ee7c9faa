// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"cmp"
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// attribute returns the value of an attribute in ModifyInstanceAttribute: Attribute=userData&Value=...,
// UserData.Value=..., or UserData=....
func attribute(q *Query, name string) (string, bool) {
	if strings.EqualFold(q.String("Attribute"), name) && q.Has("Value") {
		return q.String("Value"), true
	}
	upper := strings.ToUpper(name[:1]) + name[1:]
	if q.Has(upper) {
		return cmp.Or(q.String(upper+".Value"), q.String(upper)), true
	}
	return "", false
}

// changes are the attributes that can be modified, and whether the instance must be stopped for that.
var changes = []struct {
	name    string
	stopped bool
	set     func(i *cloud.Instance, value string) error
}{
	{"instanceType", true, func(i *cloud.Instance, v string) error { i.Type = v; return nil }},
	{"userData", true, setUserData},
	{"instanceInitiatedShutdownBehavior", false,
		func(i *cloud.Instance, v string) error { i.ShutdownBehavior = v; return nil }},
	{"disableApiTermination", false, func(i *cloud.Instance, v string) error { return setBool(&i.APITermination, v) }},
	{"ebsOptimized", true, func(i *cloud.Instance, v string) error { return setBool(&i.EbsOptimized, v) }},
	{"enaSupport", true, func(i *cloud.Instance, v string) error { return setBool(&i.ENA, v) }},
	{"sriovNetSupport", true, func(i *cloud.Instance, v string) error { i.SriovNet = v; return nil }},
	{"sourceDestCheck", false, func(*cloud.Instance, string) error { return nil }},
}

func setUserData(i *cloud.Instance, v string) error {
	q := &Query{}
	if err := q.insert("Value", v); err != nil {
		return err
	}
	b, err := q.Base64("Value")
	i.UserData = b
	return err
}

func setBool(to *bool, v string) error {
	b, err := strconv.ParseBool(strings.ToLower(v))
	if err != nil {
		return apierror.Errorf("InvalidParameterValue", "Invalid value '%s'. Expected 'true' or 'false'.", v)
	}
	*to = b
	return nil
}

func modifyInstanceAttribute(s *Server, r *request) (any, error) {
	id, err := r.query.Require("InstanceId")
	if err != nil {
		return nil, err
	}
	if err := checkOneInstanceAttribute(r.query); err != nil {
		return nil, err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	for _, c := range changes {
		v, wanted := attribute(r.query, c.name)
		if !wanted {
			continue
		}
		if err := s.Cloud.Modify(r.region, id, c.stopped,
			func(i *cloud.Instance) error { return c.set(i, v) }); err != nil {
			return nil, err
		}
	}
	return ok, s.Cloud.Modify(r.region, id, false, func(i *cloud.Instance) error { return setLists(i, r.query) })
}

// checkOneInstanceAttribute returns EC2's error unless a request changes exactly one attribute.
func checkOneInstanceAttribute(q *Query) error {
	var names []string
	for _, c := range changes {
		if _, wanted := attribute(q, c.name); wanted {
			names = append(names, c.name)
		}
	}
	if q.Has("GroupId") {
		names = append(names, "groupSet")
	}
	if q.Has("BlockDeviceMapping") {
		names = append(names, "blockDeviceMapping")
	}
	return checkOneOf(names)
}

// checkOneOf returns EC2's error for a request that changes no attribute, or several.
func checkOneOf(names []string) error {
	switch len(names) {
	case 0:
		return apierror.Errorf("InvalidParameterCombination", "No attributes specified.")
	case 1:
		return nil
	}
	return apierror.Errorf("InvalidParameterCombination", "Fields for multiple attribute types specified: %s",
		strings.Join(names, ", "))
}

func setLists(i *cloud.Instance, q *Query) error {
	if groups := q.Strings("GroupId"); len(groups) > 0 {
		i.SecurityGroups = groups
	}
	for _, m := range q.List("BlockDeviceMapping") {
		at := slices.IndexFunc(i.Devices, func(d cloud.InstanceDevice) bool { return d.Name == m.String("DeviceName") })
		if at < 0 {
			return apierror.Errorf("InvalidInstanceAttributeValue", "No device is currently mapped at %s",
				m.String("DeviceName"))
		}
		deleteOnTermination, err := m.Bool("Ebs.DeleteOnTermination")
		if err != nil {
			return err
		}
		if deleteOnTermination != nil {
			i.Devices[at].DeleteOnTermination = *deleteOnTermination
		}
	}
	return nil
}

func describeInstanceAttribute(s *Server, r *request) (any, error) {
	p := &reader{q: r.query}
	id, name := p.require("InstanceId"), p.require("Attribute")
	if p.err != nil {
		return nil, p.err
	}
	all, err := s.Cloud.Instances(r.region, []string{id})
	if err != nil {
		return nil, err
	}
	type optional struct {
		Value string `xml:"value,omitempty"`
	}
	var x struct {
		ID               string              `xml:"instanceId"`
		UserData         *optional           `xml:"userData"`
		Type             *valueXML           `xml:"instanceType"`
		ShutdownBehavior *valueXML           `xml:"instanceInitiatedShutdownBehavior"`
		APITermination   *valueXML           `xml:"disableApiTermination"`
		EbsOptimized     *valueXML           `xml:"ebsOptimized"`
		ENA              *valueXML           `xml:"enaSupport"`
		SriovNet         *optional           `xml:"sriovNetSupport"`
		RootName         *valueXML           `xml:"rootDeviceName"`
		Groups           []groupXML          `xml:"groupSet>item"`
		Devices          []instanceDeviceXML `xml:"blockDeviceMapping>item"`
	}
	i := all[0]
	x.ID = i.ID
	switch name {
	case "userData":
		x.UserData = &optional{base64.StdEncoding.EncodeToString(i.UserData)}
	case "instanceType":
		x.Type = &valueXML{i.Type}
	case "instanceInitiatedShutdownBehavior":
		x.ShutdownBehavior = &valueXML{i.ShutdownBehavior}
	case "disableApiTermination":
		x.APITermination = &valueXML{strconv.FormatBool(i.APITermination)}
	case "ebsOptimized":
		x.EbsOptimized = &valueXML{strconv.FormatBool(i.EbsOptimized)}
	case "enaSupport":
		x.ENA = &valueXML{strconv.FormatBool(i.ENA)}
	case "sriovNetSupport":
		x.SriovNet = &optional{i.SriovNet}
	case "rootDeviceName":
		x.RootName = &valueXML{i.RootDevice}
	case "groupSet":
		x.Groups = instanceOf(i, nil).Groups
	case "blockDeviceMapping":
		x.Devices = instanceOf(i, nil).Devices
	default:
		return nil, apierror.Errorf("InvalidParameterValue", "Value (%s) for parameter attribute is invalid.", name)
	}
	return x, nil
}

func modifyInstanceMetadataOptions(s *Server, r *request) (any, error) {
	p := &reader{q: r.query}
	id, m := p.require("InstanceId"), p.metadata("")
	if p.err != nil {
		return nil, p.err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	var now cloud.MetadataOptions
	err := s.Cloud.Modify(r.region, id, false, func(i *cloud.Instance) error {
		old := i.Metadata
		i.Metadata = cloud.MetadataOptions{
			Tokens: cmp.Or(m.Tokens, old.Tokens), Endpoint: cmp.Or(m.Endpoint, old.Endpoint),
			HopLimit: cmp.Or(m.HopLimit, old.HopLimit), Tags: cmp.Or(m.Tags, old.Tags),
		}
		now = i.Metadata
		return nil
	})
	return struct {
		ID      string      `xml:"instanceId"`
		Options metadataXML `xml:"instanceMetadataOptions"`
	}{id, metadataOf(now)}, err
}

type typeXML struct {
	Name          string   `xml:"instanceType"`
	Current       bool     `xml:"currentGeneration"`
	FreeTier      bool     `xml:"freeTierEligible"`
	RootTypes     []string `xml:"supportedRootDeviceTypes>item"`
	UsageClasses  []string `xml:"supportedUsageClasses>item"`
	Virtual       []string `xml:"supportedVirtualizationTypes>item"`
	BareMetal     bool     `xml:"bareMetal"`
	Hypervisor    string   `xml:"hypervisor"`
	Architectures []string `xml:"processorInfo>supportedArchitectures>item"`
	VCPUs         int      `xml:"vCpuInfo>defaultVCpus"`
	Memory        int      `xml:"memoryInfo>sizeInMiB"`
	Burstable     bool     `xml:"burstablePerformanceSupported"`
	ENA           string   `xml:"networkInfo>enaSupport"`
	BootModes     []string `xml:"supportedBootModes>item"`
}

func describeInstanceTypes(_ *Server, r *request) (any, error) {
	all, err := typesByName(r.query.Strings("InstanceType"))
	if err != nil {
		return nil, err
	}
	all, next, err := filteredPage(r.query, all, typeFields)
	if err != nil {
		return nil, err
	}
	var x struct {
		Items []typeXML `xml:"instanceTypeSet>item"`
		Next  string    `xml:"nextToken,omitempty"`
	}
	x.Next = next
	for _, t := range all {
		x.Items = append(x.Items, typeXML{
			t.Name, true, false, []string{"ebs"}, []string{"on-demand", "spot"}, []string{"hvm"}, false, t.Hypervisor(),
			[]string{t.Architecture},
			t.VCPUs, t.MemoryMiB, t.Burstable, "required", []string{"legacy-bios", "uefi"},
		})
	}
	return x, nil
}

func typesByName(names []string) ([]cloud.Type, error) {
	if len(names) == 0 {
		return cloud.Types(), nil
	}
	var all []cloud.Type
	for _, n := range names {
		t, known := cloud.InstanceType(n)
		if !known {
			return nil, apierror.Errorf("InvalidInstanceType",
				"The following supplied instance types do not exist: [%s]", n)
		}
		all = append(all, t)
	}
	return all, nil
}

func typeFields(t cloud.Type) fields {
	return fields{values: map[string][]string{
		"burstable-performance-supported": {strconv.FormatBool(t.Burstable)}, "free-tier-eligible": {"false"},
		"memory-info.size-in-mib": {strconv.Itoa(t.MemoryMiB)}, "vcpu-info.default-vcpus": {strconv.Itoa(t.VCPUs)},
		"supported-root-device-type": {"ebs"}, "supported-usage-class": {"on-demand", "spot"},
		"network-info.ena-support": {"required"},
		"instance-type":            {t.Name}, "processor-info.supported-architecture": {t.Architecture},
		"current-generation": {"true"},
		"bare-metal":         {"false"}, "hypervisor": {t.Hypervisor()}, "supported-boot-mode": {"legacy-bios", "uefi"},
		"supported-virtualization-type": {"hvm"},
	}}
}

func describeInstanceTypeOfferings(_ *Server, r *request) (any, error) {
	type offering struct {
		Type     string `xml:"instanceType"`
		Kind     string `xml:"locationType"`
		Location string `xml:"location"`
	}
	kind, location := cmp.Or(r.query.String("LocationType"), "region"), r.region
	if kind != "region" {
		location += "a"
	}
	all, next, err := filteredPage(r.query, cloud.Types(), func(t cloud.Type) fields {
		return fields{values: map[string][]string{"instance-type": {t.Name}, "location": {location}}}
	})
	if err != nil {
		return nil, err
	}
	var x struct {
		Items []offering `xml:"instanceTypeOfferingSet>item"`
		Next  string     `xml:"nextToken,omitempty"`
	}
	x.Next = next
	for _, t := range all {
		x.Items = append(x.Items, offering{t.Name, kind, location})
	}
	return x, nil
}
