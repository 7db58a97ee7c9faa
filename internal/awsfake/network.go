// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsfake

import "github.com/amibakery/packer-plugin-bakery/internal/awscall"

// The account has one VPC, with two subnets. The security group of a bake is sg-new; searches of the template find
// sg-found, unless they look for the value "nothing".
const (
	vpcID      = "vpc-1"
	newGroupID = "sg-new"
)

func (a *Account) actOnNetwork(q query) (answer string, failure *Failure, known bool) {
	switch q.action {
	case "DescribeVpcs":
		answer = list("vpcSet", value("vpcId", vpcID))
	case "DescribeSubnets":
		answer = list("subnetSet",
			value("subnetId", "subnet-1")+value("vpcId", vpcID)+value("availabilityZone", Region+"a")+
				value("availableIpAddressCount", "9"),
			value("subnetId", "subnet-2")+value("vpcId", vpcID)+value("availableIpAddressCount", "99"))
	case "DescribeSecurityGroups":
		answer = a.describeSecurityGroups(q)
	case "CreateSecurityGroup":
		if a.SecurityGroup != "" {
			return "", badRequest(awscall.CodeGroupDuplicate), true
		}
		a.SecurityGroup = q.get("GroupName")
		answer = value("groupId", newGroupID)
	case "DeleteSecurityGroup":
		a.SecurityGroup = ""
		answer = success
	default:
		return "", nil, false
	}
	return answer, nil, true
}

func (a *Account) describeSecurityGroups(q query) string {
	const groups = "securityGroupInfo"
	if id := q.get("GroupId.1"); id != "" {
		return list(groups, value("groupId", id)+value("vpcId", vpcID))
	}
	name, first := q.get("Filter.1.Name"), q.get("Filter.1.Value.1")
	if name == "tag:Class" || name == "group-name" && q.get("Filter.2.Name") == "vpc-id" {
		if first == "nothing" {
			return list(groups)
		}
		return list(groups, value("groupId", "sg-found")+value("vpcId", vpcID))
	}
	if a.SecurityGroup == first {
		return list(groups, value("groupId", newGroupID))
	}
	return list(groups)
}
