// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/ssm"
)

// What calls need by the Service Authorization Reference, as far as policies for bakes are concerned:
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html. What is being made has the
// request's tags, and what is there already has its own.

// Permissions are what the sender of a request must be allowed to do: the action itself on all resources it names, and what
// follows from its parameters.
func (r *request) Permissions() []iam.Request {
	need := r.server.own(r)
	for _, spec := range r.query.List("TagSpecification") {
		kind := spec.String("ResourceType")
		keys := requested(spec)
		keys["ec2:CreateAction"] = []string{r.action}
		need = append(need, iam.Request{Action: "ec2:CreateTags", Resource: arn(r.region, kind, "*"), Keys: keys})
	}
	if r.action == "RunInstances" {
		need = append(need, lent(r)...)
	}
	if all, _ := r.query.True("DeleteAssociatedSnapshots"); all {
		need = append(need, r.server.snapshotsOf(r)...)
	}
	return need
}

// own is the call itself.
func (s *Server) own(r *request) []iam.Request {
	var need []iam.Request
	for _, kind := range made(r) {
		need = append(need, iam.Request{Action: "ec2:" + r.action, Resource: arn(r.region, kind, "*"), Keys: keysOf(r, kind)})
	}
	for _, id := range touched(r) {
		one := s.on("ec2:"+r.action, r.region, id)
		maps.Copy(one.Keys, requested(r.query)) // of CreateTags and DeleteTags
		need = append(need, one)
	}
	if len(need) == 0 {
		need = []iam.Request{{Action: "ec2:" + r.action, Resource: "*"}}
	}
	return need
}

// made are the kinds of resources that a call makes.
func made(r *request) []string {
	switch r.action {
	case "RunInstances":
		kinds := []string{"instance", "volume", "network-interface"}
		if r.query.String("InstanceMarketOptions.MarketType") == "spot" {
			kinds = append(kinds, "spot-instances-request")
		}
		return kinds
	case "CreateImage", "CopyImage":
		return []string{"image", "snapshot"}
	case "RegisterImage":
		return []string{"image"}
	case "CreateSecurityGroup":
		return []string{"security-group"}
	case "CreateSnapshot":
		return []string{"snapshot"}
	case "CreateKeyPair", "ImportKeyPair":
		return []string{"key-pair"}
	}
	return nil
}

// keysOf are the keys of what a call makes of a kind: the tags it is to have, and for a machine what it is to be.
func keysOf(r *request, kind string) map[string][]string {
	keys := requested(&Query{})
	for _, spec := range r.query.List("TagSpecification") {
		if spec.String("ResourceType") == kind {
			keys = requested(spec)
		}
	}
	if kind == "instance" {
		keys["ec2:InstanceType"] = []string{r.query.String("InstanceType")}
		keys["ec2:MetadataHttpTokens"] = []string{cmp.Or(r.query.String("MetadataOptions.HttpTokens"), "optional")}
	}
	return keys
}

// requested are the keys of the tags that a branch of a request has.
func requested(q *Query) map[string][]string {
	keys := map[string][]string{}
	for _, t := range q.List("Tag") {
		keys["aws:RequestTag/"+t.String("Key")] = []string{t.String("Value")}
		keys["aws:TagKeys"] = append(keys["aws:TagKeys"], t.String("Key"))
	}
	return keys
}

// parameters are those that name what a call touches. Those of Describe... only select, and no policy can look at them.
var parameters = []string{
	"InstanceId", "ImageId", "SnapshotId", "VolumeId", "GroupId", "VpcId", "SubnetId", "KeyName", "SecurityGroupId", "SpotInstanceRequestId", "ResourceId",
	"NetworkInterface.1.SubnetId", "NetworkInterface.1.SecurityGroupId",
}

// touched are the ids of what a call needs to be there already.
func touched(r *request) []string {
	if strings.HasPrefix(r.action, "Describe") {
		return nil
	}
	var ids []string
	for _, name := range parameters {
		if id := r.query.String(name); id != "" {
			ids = append(ids, id)
		}
		ids = append(ids, r.query.Strings(name)...)
	}
	for _, d := range r.query.List("BlockDeviceMapping") {
		if id := d.String("Ebs.SnapshotId"); id != "" {
			ids = append(ids, id)
		}
	}
	return slices.DeleteFunc(ids, isParameter) // lent has those
}

// kinds are the kinds of resources by the prefix of their ids.
var kinds = map[string]string{
	"i": "instance", "ami": "image", "snap": "snapshot", "vol": "volume", "sg": "security-group", "subnet": "subnet", "vpc": "vpc",
	"eni": "network-interface", "sir": "spot-instances-request",
}

// on is an action on something with an id, or a key pair's name. Conditions about the tags of what is not there are met:
// the call is answered with its absence.
func (s *Server) on(action, region, id string) iam.Request {
	prefix, _, _ := strings.Cut(id, "-")
	kind, ok := kinds[prefix]
	if !ok {
		kind = "key-pair"
	}
	need := iam.Request{Action: action, Resource: arn(region, kind, id), Keys: map[string][]string{}}
	tags, there := s.Cloud.TagsOf(region, id)
	need.Absent = !there && ok && kind != "subnet" && kind != "vpc" // which are there, and have no tags
	for k, v := range tags {
		need.Keys["aws:ResourceTag/"+k] = []string{v}
		need.Keys["ec2:ResourceTag/"+k] = []string{v}
	}
	return need
}

// lent is what else a machine takes: a role, and the parameter that names its image.
func lent(r *request) []iam.Request {
	var need []iam.Request
	if role := r.server.RoleOf(profileOf(r.query)); role != "" { // else EC2 knows of none to pass, and says so
		need = append(need, iam.Request{
			Action: "iam:PassRole", Resource: role,
			Keys: map[string][]string{"iam:PassedToService": {"ec2.amazonaws.com"}},
		})
	}
	if id := r.query.String("ImageId"); isParameter(id) {
		need = append(need, iam.Request{Action: "ssm:GetParameters", Resource: ssm.ARN(r.region, cloud.Account, strings.TrimPrefix(id, parameterPrefix))})
	}
	return need
}

// snapshotsOf is the deletion of the snapshots of an image that go with it.
func (s *Server) snapshotsOf(r *request) []iam.Request {
	images, err := s.Cloud.Images(r.region, []string{r.query.String("ImageId")})
	if err != nil {
		return nil // the call says so itself
	}
	var need []iam.Request
	for _, d := range images[0].Devices {
		if d.SnapshotID != "" {
			need = append(need, s.on("ec2:DeleteSnapshot", r.region, d.SnapshotID))
		}
	}
	return need
}

// arn is the name of an EC2 resource. Images and snapshots have no account in theirs.
func arn(region, kind, id string) string {
	account := cloud.Account
	if kind == "image" || kind == "snapshot" {
		account = ""
	}
	return "arn:aws:ec2:" + region + ":" + account + ":" + kind + "/" + id
}
