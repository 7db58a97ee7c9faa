// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"slices"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// extras reads the parameters of RunInstances that are only stored: placement, licenses and others.
func (r *reader) extras() cloud.Extras {
	q := r.q
	e := cloud.Extras{
		Placement: cloud.Placement{
			Zone:    q.String("Placement.AvailabilityZone"),
			Tenancy: r.oneOf("Placement.Tenancy", "default", "dedicated", "host"),
			HostID:  q.String("Placement.HostId"), HostResourceGroup: q.String("Placement.HostResourceGroupArn"),
			Affinity: r.oneOf("Placement.Affinity", "default", "host"), Group: q.String("Placement.GroupName"),
		},
		Capacity: cloud.Capacity{
			Preference: r.oneOf("CapacityReservationSpecification.CapacityReservationPreference", "open", "none",
				"capacity-reservations-only"),
			ID: q.String("CapacityReservationSpecification.CapacityReservationTarget.CapacityReservationId"),
			ResourceGroup: q.String("CapacityReservationSpecification.CapacityReservationTarget." +
				"CapacityReservationResourceGroupArn"),
		},
		Enclave: r.bool("EnclaveOptions.Enabled"), Credits: q.String("CreditSpecification.CpuCredits"),
		InterfaceTags: r.tags("network-interface"),
	}
	for _, l := range q.List("LicenseSpecification") {
		e.Licenses = append(e.Licenses, l.String("LicenseConfigurationArn"))
	}
	return e
}

type placementXML struct {
	Zone              string `xml:"availabilityZone"`
	Tenancy           string `xml:"tenancy"`
	Group             string `xml:"groupName"`
	Affinity          string `xml:"affinity,omitempty"`
	HostID            string `xml:"hostId,omitempty"`
	HostResourceGroup string `xml:"hostResourceGroupArn,omitempty"`
}

func placementOf(i cloud.Instance) placementXML {
	p := i.Placement
	return placementXML{i.Zone, p.Tenancy, p.Group, p.Affinity, p.HostID, p.HostResourceGroup}
}

type capacityXML struct {
	Preference string             `xml:"capacityReservationPreference,omitempty"`
	Target     *capacityTargetXML `xml:"capacityReservationTarget"`
}

type capacityTargetXML struct {
	ID            string `xml:"capacityReservationId,omitempty"`
	ResourceGroup string `xml:"capacityReservationResourceGroupArn,omitempty"`
}

func capacityOf(c cloud.Capacity) capacityXML {
	x := capacityXML{Preference: c.Preference}
	switch {
	case c.Target():
		x.Target = &capacityTargetXML{c.ID, c.ResourceGroup}
	case x.Preference == "":
		x.Preference = "open" // EC2's default
	}
	return x
}

type licenseXML struct {
	ARN string `xml:"licenseConfigurationArn"`
}

func describeInstanceCreditSpecifications(s *Server, r *request) (any, error) {
	ids := r.query.Strings("InstanceId")
	all, err := s.Cloud.Instances(r.region, ids)
	if err != nil {
		return nil, err
	}
	for _, i := range all {
		if i.Credits == "" && len(ids) > 0 {
			return nil, apierror.Errorf("InvalidInstanceID",
				"The instance %s is not burstable: it has no credit specification.", i.ID)
		}
	}
	all = slices.DeleteFunc(all, func(i cloud.Instance) bool { return i.Credits == "" })
	all, next, err := filteredPage(r.query, all, instanceFields)
	if err != nil {
		return nil, err
	}
	type item struct {
		ID      string `xml:"instanceId"`
		Credits string `xml:"cpuCredits"`
	}
	var x struct {
		Items []item `xml:"instanceCreditSpecificationSet>item"`
		Next  string `xml:"nextToken,omitempty"`
	}
	x.Next = next
	for _, i := range all {
		x.Items = append(x.Items, item{i.ID, i.Credits})
	}
	return x, nil
}

type networkInterfaceXML struct {
	ID          string     `xml:"networkInterfaceId"`
	SubnetID    string     `xml:"subnetId"`
	VPCID       string     `xml:"vpcId"`
	Zone        string     `xml:"availabilityZone"`
	Owner       string     `xml:"ownerId"`
	Status      string     `xml:"status"`
	MAC         string     `xml:"macAddress"`
	PrivateIP   string     `xml:"privateIpAddress"`
	Groups      []groupXML `xml:"groupSet>item"`
	InstanceID  string     `xml:"attachment>instanceId"`
	DeviceIndex int        `xml:"attachment>deviceIndex"`
	Attached    string     `xml:"attachment>status"`
	PublicIP    string     `xml:"association>publicIp,omitempty"`
	Tags        *tagSet    `xml:"tagSet"`
}

func describeNetworkInterfaces(s *Server, r *request) (any, error) {
	all, err := s.Cloud.Instances(r.region, nil)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(i cloud.Instance) bool { return i.State == cloud.Terminated })
	if all, err = selectInterfaces(all, r.query.Strings("NetworkInterfaceId")); err != nil {
		return nil, err
	}
	all, next, err := filteredPage(r.query, all, interfaceFields)
	if err != nil {
		return nil, err
	}
	names, err := s.groupNames(r.region)
	if err != nil {
		return nil, err
	}
	var x struct {
		Items []networkInterfaceXML `xml:"networkInterfaceSet>item"`
		Next  string                `xml:"nextToken,omitempty"`
	}
	x.Next = next
	for _, i := range all {
		one := networkInterfaceXML{
			ID: i.Interface, SubnetID: i.SubnetID, VPCID: i.VPCID, Zone: i.Zone, Owner: cloud.Account, Status: "in-use",
			MAC:       i.MAC,
			PrivateIP: i.PrivateIP, InstanceID: i.ID, Attached: "attached", PublicIP: i.PublicIP,
			Tags: tagged(i.InterfaceTags),
		}
		for _, g := range i.SecurityGroups {
			one.Groups = append(one.Groups, groupXML{g, names[g]})
		}
		x.Items = append(x.Items, one)
	}
	return x, nil
}

// selectInterfaces returns the instances whose network interfaces have these ids, or all without ids.
func selectInterfaces(all []cloud.Instance, ids []string) ([]cloud.Instance, error) {
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(i cloud.Instance) bool { return i.Interface == id }) {
			return nil, apierror.Errorf("InvalidNetworkInterfaceID.NotFound",
				"The networkInterface ID '%s' does not exist", id)
		}
	}
	return slices.DeleteFunc(all, func(i cloud.Instance) bool {
		return len(ids) > 0 && !slices.Contains(ids, i.Interface)
	}), nil
}

func interfaceFields(i cloud.Instance) fields {
	return fields{tags: i.InterfaceTags, values: map[string][]string{
		"network-interface-id": {i.Interface}, "attachment.instance-id": {i.ID}, "subnet-id": {i.SubnetID},
		"vpc-id": {i.VPCID}, "owner-id": {cloud.Account}, "mac-address": {i.MAC}, "interface-type": {"interface"},
		"group-id": i.SecurityGroups, "status": {"in-use"}, "private-ip-address": {i.PrivateIP},
		"addresses.private-ip-address": {i.PrivateIP}, "association.public-ip": {i.PublicIP},
		"attachment.status": {"attached"}, "attachment.device-index": {"0"}, "source-dest-check": {"true"},
		"availability-zone": {i.Zone}, "private-dns-name": {i.PrivateDNS()},
	}}
}
