// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// groupNames returns the names of the security groups, by id.
func (s *Server) groupNames(region string) (map[string]string, error) {
	groups, err := s.Cloud.SecurityGroups(region, nil)
	names := map[string]string{}
	for _, g := range groups {
		names[g.ID] = g.Name
	}
	return names, err
}

// groupIDs returns the ids of security groups by name, which RunInstances and others allow in a default VPC.
func (s *Server) groupIDs(region string, names []string) ([]string, error) {
	groups, err := s.Cloud.SecurityGroups(region, nil)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, name := range names {
		at := slices.IndexFunc(groups, func(g cloud.SecurityGroup) bool { return g.Name == name })
		if at < 0 {
			return nil, apierror.Errorf("InvalidGroup.NotFound",
				"The security group '%s' does not exist in default VPC '%s'", name, cloud.DefaultVPC)
		}
		ids = append(ids, groups[at].ID)
	}
	return ids, nil
}

// group returns the id of the security group of a request.
func (s *Server) group(r *request) (string, error) {
	if id := r.query.String("GroupId"); id != "" {
		return id, nil
	}
	name := r.query.String("GroupName")
	if name == "" {
		return "", missing("GroupId or GroupName")
	}
	ids, err := s.groupIDs(r.region, []string{name})
	if err != nil {
		return "", err
	}
	return ids[0], nil
}

func createSecurityGroup(s *Server, r *request) (any, error) {
	p := &reader{q: r.query}
	name, description, tags := p.require("GroupName"), p.require("GroupDescription"), p.tags("security-group")
	if p.err != nil {
		return nil, p.err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	g, err := s.Cloud.CreateSecurityGroup(r.region, r.query.String("VpcId"), name, description, tags)
	return struct {
		Return bool    `xml:"return"`
		ID     string  `xml:"groupId"`
		Tags   *tagSet `xml:"tagSet"`
	}{true, g.ID, tagged(g.Tags)}, err
}

func deleteSecurityGroup(s *Server, r *request) (any, error) {
	id, err := s.group(r)
	if err != nil {
		return nil, err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	return struct {
		Return bool   `xml:"return"`
		ID     string `xml:"groupId"`
	}{true, id}, s.Cloud.DeleteSecurityGroup(r.region, id)
}

type permissionIP struct {
	Protocol string      `xml:"ipProtocol"`
	From     *int        `xml:"fromPort"`
	To       *int        `xml:"toPort"`
	Groups   []groupPair `xml:"groups>item"`
	Ranges   []rangeXML  `xml:"ipRanges>item"`
	Ranges6  []range6XML `xml:"ipv6Ranges>item"`
}

type groupPair struct {
	Owner string `xml:"userId"`
	ID    string `xml:"groupId"`
}

type rangeXML struct {
	CIDR        string `xml:"cidrIp"`
	Description string `xml:"description,omitempty"`
}

type range6XML struct {
	CIDR        string `xml:"cidrIpv6"`
	Description string `xml:"description,omitempty"`
}

func permissionOf(r cloud.Rule) permissionIP {
	x := permissionIP{Protocol: r.Protocol}
	if r.Protocol != "-1" {
		x.From, x.To = &r.From, &r.To
	}
	switch {
	case r.CIDR != "":
		x.Ranges = []rangeXML{{r.CIDR, r.Description}}
	case r.CIDR6 != "":
		x.Ranges6 = []range6XML{{r.CIDR6, r.Description}}
	default:
		x.Groups = []groupPair{{cloud.Account, r.Group}}
	}
	return x
}

type securityGroupXML struct {
	Owner       string         `xml:"ownerId"`
	ID          string         `xml:"groupId"`
	Name        string         `xml:"groupName"`
	Description string         `xml:"groupDescription"`
	VPCID       string         `xml:"vpcId"`
	Ingress     []permissionIP `xml:"ipPermissions>item"`
	Egress      []permissionIP `xml:"ipPermissionsEgress>item"`
	Tags        *tagSet        `xml:"tagSet"`
}

func describeSecurityGroups(s *Server, r *request) (any, error) {
	ids := r.query.Strings("GroupId")
	named, err := s.groupIDs(r.region, r.query.Strings("GroupName"))
	if err != nil {
		return nil, err
	}
	all, err := s.Cloud.SecurityGroups(r.region, append(ids, named...))
	if err != nil {
		return nil, err
	}
	all, next, err := filteredPage(r.query, all, groupFields)
	if err != nil {
		return nil, err
	}
	var x struct {
		Items []securityGroupXML `xml:"securityGroupInfo>item"`
		Next  string             `xml:"nextToken,omitempty"`
	}
	x.Next = next
	for _, g := range all {
		one := securityGroupXML{Owner: cloud.Account, ID: g.ID, Name: g.Name, Description: g.Description,
			VPCID: g.VPCID, Tags: tagged(g.Tags)}
		for _, rule := range g.Rules {
			if rule.Egress {
				one.Egress = append(one.Egress, permissionOf(rule))
			} else {
				one.Ingress = append(one.Ingress, permissionOf(rule))
			}
		}
		x.Items = append(x.Items, one)
	}
	return x, nil
}

func groupFields(g cloud.SecurityGroup) fields {
	values := map[string][]string{
		"group-id": {g.ID}, "group-name": {g.Name}, "vpc-id": {g.VPCID}, "owner-id": {cloud.Account},
		"description": {g.Description},
	}
	for _, r := range g.Rules {
		prefix := "ip-permission."
		if r.Egress {
			prefix = "egress.ip-permission."
		}
		for name, value := range map[string]string{
			"from-port": strconv.Itoa(r.From), "to-port": strconv.Itoa(r.To), "protocol": r.Protocol, "cidr": r.CIDR,
			"ipv6-cidr": r.CIDR6, "group-id": r.Group,
		} {
			values[prefix+name] = append(values[prefix+name], value)
		}
	}
	return fields{tags: g.Tags, values: values}
}

// rules reads IpPermissions, or the one rule that older clients send as single parameters.
func rules(q *Query, egress bool) ([]cloud.Rule, error) {
	p := &reader{q: q}
	var all []cloud.Rule
	if q.Has("IpProtocol") {
		all = append(all, cloud.Rule{
			Protocol: q.String("IpProtocol"), From: int(p.int("FromPort", -1)), To: int(p.int("ToPort", -1)),
			CIDR: q.String("CidrIp"), Egress: egress,
		})
	}
	for _, permission := range q.List("IpPermissions") {
		in := &reader{q: permission}
		rule := cloud.Rule{Protocol: in.require("IpProtocol"), From: int(in.int("FromPort", -1)),
			To: int(in.int("ToPort", -1)), Egress: egress}
		for _, one := range permission.List("IpRanges") {
			rule.CIDR, rule.CIDR6, rule.Group = one.String("CidrIp"), "", ""
			rule.Description = one.String("Description")
			all = append(all, rule)
		}
		for _, one := range permission.List("Ipv6Ranges") {
			rule.CIDR, rule.CIDR6, rule.Group = "", one.String("CidrIpv6"), ""
			rule.Description = one.String("Description")
			all = append(all, rule)
		}
		for _, one := range permission.List("Groups") {
			rule.CIDR, rule.CIDR6, rule.Group = "", "", one.String("GroupId")
			rule.Description = one.String("Description")
			all = append(all, rule)
		}
		recordError(p, 0, in.err)
	}
	return all, p.err
}

func (s *Server) authorize(r *request, egress bool) (any, error) {
	id, err := s.group(r)
	if err != nil {
		return nil, err
	}
	wanted, err := rules(r.query, egress)
	if err != nil {
		return nil, err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	added, err := s.Cloud.Authorize(r.region, id, wanted)
	if err != nil {
		return nil, err
	}
	type rule struct {
		ID       string `xml:"securityGroupRuleId"`
		Group    string `xml:"groupId"`
		Owner    string `xml:"groupOwnerId"`
		Egress   bool   `xml:"isEgress"`
		Protocol string `xml:"ipProtocol"`
		From     int    `xml:"fromPort"`
		To       int    `xml:"toPort"`
		CIDR     string `xml:"cidrIpv4,omitempty"`
	}
	var x struct {
		Return bool   `xml:"return"`
		Rules  []rule `xml:"securityGroupRuleSet>item"`
	}
	x.Return = true
	for _, a := range added {
		x.Rules = append(x.Rules, rule{a.ID, id, cloud.Account, a.Egress, a.Protocol, a.From, a.To, a.CIDR})
	}
	return x, nil
}

func authorizeIngress(s *Server, r *request) (any, error) { return s.authorize(r, false) }
func authorizeEgress(s *Server, r *request) (any, error)  { return s.authorize(r, true) }

func (s *Server) revoke(r *request, egress bool) (any, error) {
	id, err := s.group(r)
	if err != nil {
		return nil, err
	}
	removed, err := rules(r.query, egress)
	if err != nil {
		return nil, err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	return ok, s.Cloud.Revoke(r.region, id, removed, r.query.Strings("SecurityGroupRuleId"))
}

func revokeIngress(s *Server, r *request) (any, error) { return s.revoke(r, false) }
func revokeEgress(s *Server, r *request) (any, error)  { return s.revoke(r, true) }

type subnetXML struct {
	ID        string `xml:"subnetId"`
	ARN       string `xml:"subnetArn"`
	State     string `xml:"state"`
	Owner     string `xml:"ownerId"`
	VPCID     string `xml:"vpcId"`
	CIDR      string `xml:"cidrBlock"`
	Free      int    `xml:"availableIpAddressCount"`
	Zone      string `xml:"availabilityZone"`
	Default   bool   `xml:"defaultForAz"`
	PublicIPs bool   `xml:"mapPublicIpOnLaunch"`
}

func describeSubnets(s *Server, r *request) (any, error) {
	all, err := s.Cloud.Subnets(r.region, r.query.Strings("SubnetId"))
	if err != nil {
		return nil, err
	}
	all, next, err := filteredPage(r.query, all, subnetFields)
	if err != nil {
		return nil, err
	}
	var x struct {
		Items []subnetXML `xml:"subnetSet>item"`
		Next  string      `xml:"nextToken,omitempty"`
	}
	x.Next = next
	for _, n := range all {
		arn := "arn:aws:ec2:" + r.region + ":" + cloud.Account + ":subnet/" + n.ID
		x.Items = append(x.Items,
			subnetXML{n.ID, arn, "available", cloud.Account, n.VPCID, n.CIDR, n.Free, n.Zone, true, true})
	}
	return x, nil
}

func subnetFields(n cloud.Subnet) fields {
	return fields{values: map[string][]string{
		"subnet-id": {n.ID}, "vpc-id": {n.VPCID}, "availability-zone": {n.Zone}, "availabilityZone": {n.Zone},
		"state":          {"available"},
		"default-for-az": {"true"}, "defaultForAz": {"true"}, "map-public-ip-on-launch": {"true"},
		"cidr-block": {n.CIDR}, "cidr": {n.CIDR}, "cidrBlock": {n.CIDR}, "owner-id": {cloud.Account},
		"available-ip-address-count": {strconv.Itoa(n.Free)}, "ipv6-native": {"false"}, "enable-dns64": {"false"},
	}}
}

func describeVpcs(s *Server, r *request) (any, error) {
	all, err := s.Cloud.VPCs(r.query.Strings("VpcId"))
	if err != nil {
		return nil, err
	}
	all, next, err := filteredPage(r.query, all, func(v cloud.VPC) fields {
		return fields{values: map[string][]string{
			"vpc-id": {v.ID}, "is-default": {"true"}, "isDefault": {"true"}, "state": {"available"}, "cidr": {v.CIDR},
			"owner-id": {cloud.Account}, "cidr-block-association.cidr-block": {v.CIDR},
			"cidr-block-association.state": {"associated"},
		}}
	})
	if err != nil {
		return nil, err
	}
	type vpc struct {
		ID      string `xml:"vpcId"`
		Owner   string `xml:"ownerId"`
		State   string `xml:"state"`
		CIDR    string `xml:"cidrBlock"`
		Tenancy string `xml:"instanceTenancy"`
		Default bool   `xml:"isDefault"`
	}
	var x struct {
		Items []vpc  `xml:"vpcSet>item"`
		Next  string `xml:"nextToken,omitempty"`
	}
	x.Next = next
	for _, v := range all {
		x.Items = append(x.Items, vpc{v.ID, cloud.Account, "available", v.CIDR, "default", true})
	}
	return x, nil
}

func describeRegions(_ *Server, r *request) (any, error) {
	type region struct {
		Name     string `xml:"regionName"`
		Endpoint string `xml:"regionEndpoint"`
		OptIn    string `xml:"optInStatus"`
	}
	var x struct {
		Items []region `xml:"regionInfo>item"`
	}
	for _, name := range r.query.Strings("RegionName") {
		if !slices.Contains(cloud.Regions, name) {
			return nil, apierror.Errorf("InvalidParameterValue", "Invalid region '%s' was provided", name)
		}
	}
	wanted := r.query.Strings("RegionName")
	everything, err := r.query.True("AllRegions")
	if err != nil {
		return nil, err
	}
	names, err := filtered(r.query, cloud.Regions, func(name string) fields {
		return fields{values: map[string][]string{
			"region-name": {name}, "endpoint": {"ec2." + name + ".amazonaws.com"}, "opt-in-status": {optIn(name)},
		}}
	})
	for _, name := range names {
		if (len(wanted) == 0 || slices.Contains(wanted, name)) && (everything || name != cloud.ClosedRegion) {
			x.Items = append(x.Items, region{name, "ec2." + name + ".amazonaws.com", optIn(name)})
		}
	}
	return x, err
}

func optIn(region string) string {
	if region == cloud.ClosedRegion {
		return "not-opted-in"
	}
	return "opt-in-not-required"
}

func describeAvailabilityZones(_ *Server, r *request) (any, error) {
	type zone struct {
		Name   string `xml:"zoneName"`
		ID     string `xml:"zoneId"`
		State  string `xml:"zoneState"`
		Region string `xml:"regionName"`
		Type   string `xml:"zoneType"`
	}
	var all []zone
	for n, name := range cloud.Zones(r.region) {
		all = append(all, zone{name, fmt.Sprintf("%s-az%d", r.region, n+1), "available", r.region, "availability-zone"})
	}
	for _, parameter := range []string{"ZoneName", "ZoneId"} {
		wanted := r.query.Strings(parameter)
		for _, one := range wanted {
			if !slices.ContainsFunc(all, func(z zone) bool { return z.Name == one || z.ID == one }) {
				return nil, apierror.Errorf("InvalidParameterValue", "Invalid availability zone: [%s]", one)
			}
		}
		all = slices.DeleteFunc(all, func(z zone) bool {
			return len(wanted) > 0 && !slices.Contains(wanted, z.Name) && !slices.Contains(wanted, z.ID)
		})
	}
	all, err := filtered(r.query, all, func(z zone) fields {
		return fields{values: map[string][]string{
			"zone-name": {z.Name}, "zone-id": {z.ID}, "state": {z.State}, "region-name": {z.Region},
			"zone-type": {z.Type}, "opt-in-status": {"opt-in-not-required"}, "group-name": {z.Region + "-zg-1"},
		}}
	})
	return struct {
		Items []zone `xml:"availabilityZoneInfo>item"`
	}{all}, err
}

func describeAccountAttributes(_ *Server, r *request) (any, error) {
	type attribute struct {
		Name   string   `xml:"attributeName"`
		Values []string `xml:"attributeValueSet>item>attributeValue"`
	}
	all := []attribute{{"supported-platforms", []string{"VPC"}}, {"default-vpc", []string{cloud.DefaultVPC}}}
	wanted := r.query.Strings("AttributeName")
	return struct {
		Items []attribute `xml:"accountAttributeSet>item"`
	}{slices.DeleteFunc(all, func(a attribute) bool {
		return len(wanted) > 0 && !slices.Contains(wanted, a.Name)
	})}, nil
}
