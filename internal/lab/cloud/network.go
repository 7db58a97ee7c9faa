// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// What every account has from the start, the same in each region.
const (
	DefaultVPC    = "vpc-0bace000000000001"
	DefaultSubnet = "subnet-0bace000000000001"
	OtherSubnet   = "subnet-0bace000000000002" // in the second availability zone
	DefaultGroup  = "sg-0bace000000000001"
	vpcCIDR       = "172.31.0.0/16" // as a default VPC of EC2
	firstAddress  = 0xac1f0004      // 172.31.0.4: AWS reserves the first four addresses of a subnet
)

// Regions are those that every account has, and ClosedRegion.
var Regions = []string{
	"ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1", "ap-southeast-1", "ap-southeast-2",
	"ca-central-1",
	"eu-central-1", "eu-north-1", "eu-west-1", "eu-west-2", "eu-west-3", "sa-east-1", "us-east-1", "us-east-2",
	"us-west-1", "us-west-2",
	ClosedRegion,
}

// ClosedRegion is a region that the account has not opted in to.
const ClosedRegion = "ap-east-1"

// VPC is the default VPC; there are no others.
type VPC struct{ ID, CIDR string }

// Subnet is a subnet of the default VPC. Free is the number of its free addresses.
type Subnet struct {
	ID, VPCID, Zone, CIDR string
	Free                  int
}

// Zones returns the availability zones of a region.
func Zones(region string) []string { return []string{region + "a", region + "b"} }

// subnets returns the subnets of a region. A /20 has 4091 addresses beside the five that AWS reserves. The second
// subnet has fewer free ones, so that clients can choose.
func subnets(region string) []Subnet {
	return []Subnet{
		{DefaultSubnet, DefaultVPC, region + "a", "172.31.0.0/20", 4091},
		{OtherSubnet, DefaultVPC, region + "b", "172.31.16.0/20", 4000},
	}
}

// VPCs returns the VPCs with these ids, or all.
func (c *Cloud) VPCs(ids []string) ([]VPC, error) {
	return selectByID(kindVPC, []VPC{{DefaultVPC, vpcCIDR}}, ids, func(v VPC) string { return v.ID })
}

// Subnets returns the subnets with these ids, or all of a region.
func (c *Cloud) Subnets(region string, ids []string) ([]Subnet, error) {
	return selectByID(kindSubnet, subnets(region), ids, func(s Subnet) string { return s.ID })
}

// selectByID returns the resources with these ids, in the order of all; without ids it returns all.
func selectByID[T any](k kind, all []T, ids []string, id func(T) string) ([]T, error) {
	if len(ids) == 0 {
		return all, nil
	}
	for _, want := range ids {
		if err := k.check(want); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(all, func(t T) bool { return id(t) == want }) {
			return nil, k.missing(want)
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(t T) bool { return !slices.Contains(ids, id(t)) }), nil
}

// Rule is a rule of a security group. Protocol -1 stands for all.
type Rule struct {
	ID, Protocol string
	From, To     int
	CIDR, CIDR6  string
	Group        string
	Description  string
	Egress       bool
}

func (r Rule) equal(o Rule) bool {
	r.ID, o.ID, r.Description, o.Description = "", "", "", ""
	return r == o
}

// SecurityGroup is a security group. Its rules about SSH are enforced (see updateForwards); no other port is reachable.
type SecurityGroup struct {
	ID, Region, Name, Description, VPCID string
	Created                              time.Time
	Tags                                 Tags
	Rules                                []Rule
}

func (g SecurityGroup) clone() SecurityGroup {
	g.Tags, g.Rules = maps.Clone(g.Tags), slices.Clone(g.Rules)
	return g
}

func defaultGroup() *SecurityGroup {
	return &SecurityGroup{
		ID: DefaultGroup, Name: "default", Description: "default VPC security group", VPCID: DefaultVPC,
		Rules: []Rule{
			{ID: NewID("sgr-"), Protocol: "-1", From: -1, To: -1, Group: DefaultGroup},
			allowAllEgress(),
		},
	}
}

func allowAllEgress() Rule {
	return Rule{ID: NewID("sgr-"), Protocol: "-1", From: -1, To: -1, CIDR: "0.0.0.0/0", Egress: true}
}

var groupName = regexp.MustCompile(`^[a-zA-Z0-9 ._:/()#,@\[\]+=&;{}!$*-]{1,255}$`)

// groupText is what EC2 allows as the description of a group and of a rule.
var groupText = regexp.MustCompile(`^[a-zA-Z0-9. _\-:/()#,@\[\]+=&;{}!$*]{0,255}$`)

// checkGroupText returns EC2's error for the description of a group or a rule.
func checkGroupText(parameter, noun, text string) error {
	switch {
	case groupText.MatchString(text):
		return nil
	case strings.ContainsFunc(text, func(r rune) bool { return r > unicode.MaxASCII }):
		return apierror.Errorf("InvalidParameterValue",
			"Value (%s) for parameter %s is invalid. Character sets beyond ASCII are not supported.", text, parameter)
	}
	return apierror.Errorf("InvalidParameterValue", "Invalid %s description. Valid descriptions are strings less than "+
		"256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*", noun)
}

// CreateSecurityGroup creates a group that allows all egress and no ingress, as EC2 does.
func (c *Cloud) CreateSecurityGroup(region, vpc, name, description string, tags Tags) (SecurityGroup, error) {
	vpc = cmp.Or(vpc, DefaultVPC)
	if _, err := c.VPCs([]string{vpc}); err != nil {
		return SecurityGroup{}, err
	}
	if !groupName.MatchString(name) || strings.HasPrefix(name, "sg-") {
		return SecurityGroup{}, apierror.Errorf("InvalidParameterValue",
			"Value (%s) for parameter GroupName is invalid.", name)
	}
	if err := checkGroupText("GroupDescription", "security group", description); err != nil {
		return SecurityGroup{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, g := range c.groups {
		if g.Name == name && g.VPCID == vpc && visibleIn(g.Region, region) {
			return SecurityGroup{}, apierror.Errorf("InvalidGroup.Duplicate",
				"The security group '%s' already exists for VPC '%s'", name, vpc)
		}
	}
	g := &SecurityGroup{
		ID: NewID("sg-"), Region: region, Name: name, Description: description, VPCID: vpc, Created: time.Now().UTC(),
		Tags: maps.Clone(tags), Rules: []Rule{allowAllEgress()},
	}
	c.groups[g.ID] = g
	return g.clone(), nil
}

// SecurityGroups returns the groups with these ids, or all of a region.
func (c *Cloud) SecurityGroups(region string, ids []string) ([]SecurityGroup, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []SecurityGroup
	for _, g := range sorted(c.groups) {
		if visibleIn(g.Region, region) {
			all = append(all, g.clone())
		}
	}
	return selectByID(kindGroup, all, ids, func(g SecurityGroup) string { return g.ID })
}

// DeleteSecurityGroup deletes a group. It returns EC2's error while an instance that is not terminated uses it.
func (c *Cloud) DeleteSecurityGroup(region, id string) error {
	return c.changeGroup(region, id, func(g *SecurityGroup) error {
		if g.ID == DefaultGroup {
			return apierror.Errorf("CannotDelete",
				"the specified group: %q name: \"default\" cannot be deleted by a user", id)
		}
		for _, in := range c.instances {
			if in.State != Terminated && slices.Contains(in.SecurityGroups, id) {
				return apierror.Errorf("DependencyViolation", "resource %s has a dependent object", id)
			}
		}
		delete(c.groups, id)
		return nil
	})
}

// Authorize adds rules.
func (c *Cloud) Authorize(region, id string, rules []Rule) ([]Rule, error) {
	var added []Rule
	err := c.changeGroup(region, id, func(g *SecurityGroup) error {
		for _, r := range rules {
			if err := checkGroupText("Description", "rule", r.Description); err != nil {
				return err
			}
			if slices.ContainsFunc(g.Rules, r.equal) {
				return apierror.Errorf("InvalidPermission.Duplicate", "the specified rule %q already exists",
					describeRule(r))
			}
			r.ID = NewID("sgr-")
			added = append(added, r)
		}
		g.Rules = append(g.Rules, added...)
		return nil
	})
	return added, err
}

// Revoke removes rules, which are given as rules or by their ids.
func (c *Cloud) Revoke(region, id string, rules []Rule, ids []string) error {
	return c.changeGroup(region, id, func(g *SecurityGroup) error {
		for _, r := range rules {
			if !slices.ContainsFunc(g.Rules, r.equal) {
				return apierror.Errorf("InvalidPermission.NotFound",
					"The specified rule does not exist in this security group.")
			}
		}
		g.Rules = slices.DeleteFunc(g.Rules, func(have Rule) bool {
			return slices.ContainsFunc(rules, have.equal) || slices.Contains(ids, have.ID)
		})
		return nil
	})
}

func (c *Cloud) changeGroup(region, id string, change func(*SecurityGroup) error) error {
	if err := kindGroup.check(id); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.groups[id]
	if g == nil || !visibleIn(g.Region, region) {
		return kindGroup.missing(id)
	}
	defer c.updateForwards()
	return change(g)
}

func describeRule(r Rule) string {
	return fmt.Sprintf("peer: %s, %s, from port: %d, to port: %d, ALLOW", cmp.Or(r.CIDR, r.CIDR6, r.Group), r.Protocol,
		r.From, r.To)
}

// nextAddress returns the next private address. The caller holds c.mu.
func (c *Cloud) nextAddress() string {
	n := c.nextIP
	c.nextIP++
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, n))).String()
}

func privateName(ip string) string { return "ip-" + strings.ReplaceAll(ip, ".", "-") }

func privateDomain(region string) string {
	if region == "us-east-1" {
		return ".ec2.internal"
	}
	return "." + region + ".compute.internal"
}

// sorted returns a map's values in the order of its keys.
func sorted[T any](m map[string]T) []T {
	all := make([]T, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[k])
	}
	return all
}
