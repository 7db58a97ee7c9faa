// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package imds

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// node is a value or a directory of the metadata.
type node struct {
	text    string
	entries map[string]node
	listing string // instead of the entries' names
}

func leaf(text string) node { return node{text: text} }

func dir(entries map[string]node) node { return node{entries: entries} }

// lookUp returns a value, or the list of a directory.
func (n node) lookUp(path []string) ([]byte, bool) {
	for _, p := range path {
		next, ok := n.entries[p]
		if !ok {
			return nil, false
		}
		n = next
	}
	if n.entries == nil {
		return []byte(n.text), true
	}
	if n.listing != "" {
		return []byte(n.listing), true
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		if n.entries[name].entries != nil {
			name += "/"
		}
		names = append(names, name)
	}
	return []byte(strings.Join(names, "\n")), true
}

// tree returns the meta-data of an instance.
func (s *Server) tree(i cloud.Instance) node {
	groups := s.Groups(i.SecurityGroups)
	top := map[string]node{
		"ami-id": leaf(i.ImageID), "ami-launch-index": leaf("0"), "ami-manifest-path": leaf("(unknown)"),
		"block-device-mapping": dir(map[string]node{"ami": leaf(i.RootDevice), "root": leaf(i.RootDevice)}),
		"events": dir(map[string]node{"maintenance": dir(map[string]node{"history": leaf("[]"),
			"scheduled": leaf("[]")})}),
		"hostname": leaf(i.PrivateDNS()), "instance-action": leaf("none"), "instance-id": leaf(i.ID),
		"instance-life-cycle": leaf(lifeCycle(i)), "instance-type": leaf(i.Type),
		"local-hostname": leaf(i.PrivateDNS()),
		"local-ipv4":     leaf(i.PrivateIP), "mac": leaf(i.MAC), "profile": leaf("default-hvm"),
		"reservation-id":  leaf(i.ReservationID),
		"security-groups": leaf(strings.Join(groups, "\n")),
		"placement": dir(map[string]node{
			"availability-zone": leaf(i.Zone), "availability-zone-id": leaf(i.Region + "-az1"),
			"region": leaf(i.Region),
		}),
		"services": dir(map[string]node{"domain": leaf("amazonaws.com"), "partition": leaf("aws")}),
		"network": dir(map[string]node{"interfaces": dir(map[string]node{
			"macs": dir(map[string]node{i.MAC: networkOf(i, groups)}),
		})}),
	}
	if i.PublicIP != "" {
		top["public-ipv4"] = leaf(i.PublicIP)
	}
	if i.KeyName != "" {
		key := dir(map[string]node{"openssh-key": leaf(i.PublicKey)})
		top["public-keys"] = node{entries: map[string]node{"0": key}, listing: "0=" + i.KeyName}
	}
	if i.Profile != "" {
		top["iam"] = s.profile(i)
	}
	if i.Metadata.Tags == "enabled" {
		tags := map[string]node{}
		for k, v := range i.Tags {
			tags[k] = leaf(v)
		}
		top["tags"] = dir(map[string]node{"instance": dir(tags)})
	}
	return dir(top)
}

func lifeCycle(i cloud.Instance) string {
	if i.SpotRequest != "" {
		return "spot"
	}
	return "on-demand"
}

func networkOf(i cloud.Instance, groups []string) node {
	return dir(map[string]node{
		"device-number": leaf("0"), "interface-id": leaf(i.Interface), "local-hostname": leaf(i.PrivateDNS()),
		"local-ipv4s": leaf(i.PrivateIP),
		"mac":         leaf(i.MAC), "owner-id": leaf(cloud.Account),
		"security-groups":    leaf(strings.Join(groups, "\n")),
		"security-group-ids": leaf(strings.Join(i.SecurityGroups, "\n")), "subnet-id": leaf(i.SubnetID),
		"subnet-ipv4-cidr-block": leaf("172.31.0.0/20"),
		"vpc-id":                 leaf(i.VPCID), "vpc-ipv4-cidr-block": leaf("172.31.0.0/16"),
		"vpc-ipv4-cidr-blocks": leaf("172.31.0.0/16"),
	})
}

// profile returns meta-data/iam.
func (s *Server) profile(i cloud.Instance) node {
	c := s.Credentials(i.Role)
	info := marshal(map[string]string{
		"Code": "Success", "LastUpdated": c.Updated.Format(time.RFC3339), "InstanceProfileId": i.ProfileID,
		"InstanceProfileArn": "arn:aws:iam::" + cloud.Account + ":instance-profile/" + i.Profile,
	})
	credentials := marshal(map[string]string{
		"Code": "Success", "LastUpdated": c.Updated.Format(time.RFC3339), "Type": "AWS-HMAC",
		"AccessKeyId":     c.AccessKey,
		"SecretAccessKey": c.SecretKey, "Token": c.Token, "Expiration": c.Expires.Format(time.RFC3339),
	})
	return dir(map[string]node{"info": leaf(info),
		"security-credentials": dir(map[string]node{i.Role: leaf(credentials)})})
}

// dynamic returns the tree with the identity document.
func dynamic(i cloud.Instance) node {
	document := marshal(map[string]any{
		"accountId": cloud.Account, "architecture": i.Architecture, "availabilityZone": i.Zone, "imageId": i.ImageID,
		"instanceId":   i.ID,
		"instanceType": i.Type, "pendingTime": i.LaunchTime.Format(time.RFC3339), "privateIp": i.PrivateIP,
		"region":  i.Region,
		"version": "2017-09-30", "kernelId": nil, "ramdiskId": nil, "billingProducts": nil,
		"marketplaceProductCodes": nil, "devpayProductCodes": nil,
	})
	return dir(map[string]node{"instance-identity": dir(map[string]node{"document": leaf(document)})})
}

func marshal(v any) string {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		panic(err) // cannot happen: there are only strings and nil
	}
	return string(b)
}
