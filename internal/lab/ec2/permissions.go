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

// The permissions follow the Service Authorization Reference, as far as policies for bakes use it:
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonec2.html. A resource that is being
// created has the request's tags, an existing one has its own.

// Permissions are what the sender of a request must be allowed to do: the action itself on all resources it names, and
// what follows from its parameters.
func (r *request) Permissions() []iam.Request {
	need := r.server.ownPermissions(r)
	for _, spec := range r.query.List("TagSpecification") {
		kind := spec.String("ResourceType")
		keys := requestTagKeys(spec)
		keys["ec2:CreateAction"] = []string{r.action}
		need = append(need, iam.Request{Action: "ec2:CreateTags", Resource: arn(r.region, kind, "*"), Keys: keys})
	}
	if r.action == "RunInstances" {
		need = append(need, launchPermissions(r)...)
	}
	if r.action == "CopyImage" {
		need = append(need, sourcePermission(r))
	}
	need = append(need, keyPermissions(r)...)
	if all, _ := r.query.True("DeleteAssociatedSnapshots"); all {
		need = append(need, r.server.snapshotsOf(r)...)
	}
	return need
}

// ownPermissions are those for the action itself.
func (s *Server) ownPermissions(r *request) []iam.Request {
	var need []iam.Request
	for _, kind := range createdKinds(r) {
		need = append(need, iam.Request{Action: "ec2:" + r.action, Resource: arn(r.region, kind, "*"),
			Keys: keysOf(r, kind)})
	}
	for _, id := range namedIDs(r) {
		one := s.permissionOn("ec2:"+r.action, r.region, id)
		maps.Copy(one.Keys, requestTagKeys(r.query)) // of CreateTags and DeleteTags
		need = append(need, one)
	}
	if len(need) == 0 {
		need = []iam.Request{{Action: "ec2:" + r.action, Resource: "*"}}
	}
	return need
}

// createdKinds returns the kinds of resources that a call creates.
func createdKinds(r *request) []string {
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

// keysOf returns the condition keys of a resource that a call creates: its tags, and the attributes of an instance.
func keysOf(r *request, kind string) map[string][]string {
	keys := requestTagKeys(&Query{})
	for _, spec := range r.query.List("TagSpecification") {
		if spec.String("ResourceType") == kind {
			keys = requestTagKeys(spec)
		}
	}
	if kind == "instance" {
		keys["ec2:InstanceType"] = []string{r.query.String("InstanceType")}
		keys["ec2:MetadataHttpTokens"] = []string{cmp.Or(r.query.String("MetadataOptions.HttpTokens"), "optional")}
	}
	return keys
}

// requestTagKeys returns the condition keys of the tags in a branch of a request.
func requestTagKeys(q *Query) map[string][]string {
	keys := map[string][]string{}
	for _, t := range q.List("Tag") {
		keys["aws:RequestTag/"+t.String("Key")] = []string{t.String("Value")}
		keys["aws:TagKeys"] = append(keys["aws:TagKeys"], t.String("Key"))
	}
	return keys
}

// parameters are those that name the resources of a call. Those of Describe... only select, and are not for policies.
var parameters = []string{
	"InstanceId", "ImageId", "SnapshotId", "VolumeId", "GroupId", "VpcId", "SubnetId", "KeyName", "SecurityGroupId",
	"SpotInstanceRequestId", "ResourceId",
	"NetworkInterface.1.SubnetId", "NetworkInterface.1.SecurityGroupId",
}

// namedIDs returns the ids of the existing resources that a call names.
func namedIDs(r *request) []string {
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
	return slices.DeleteFunc(ids, isParameter) // launchPermissions has those
}

// kinds are the kinds of resources, by the prefix of their ids.
var kinds = map[string]string{
	"i": "instance", "ami": "image", "snap": "snapshot", "vol": "volume", "sg": "security-group", "subnet": "subnet",
	"vpc": "vpc",
	"eni": "network-interface", "sir": "spot-instances-request",
}

// permissionOn is an action on a resource with an id, or on a key pair with a name. Conditions about the tags of a
// resource that does not exist are met, so that the call returns that error.
func (s *Server) permissionOn(action, region, id string) iam.Request {
	prefix, _, _ := strings.Cut(id, "-")
	kind, ok := kinds[prefix]
	if !ok {
		kind = "key-pair"
	}
	need := iam.Request{Action: action, Resource: arn(region, kind, id), Keys: map[string][]string{}}
	tags, there := s.Cloud.TagsOf(region, id)
	need.Absent = !there && ok && kind != "subnet" && kind != "vpc" // these exist, and have no tags
	for k, v := range tags {
		need.Keys["aws:ResourceTag/"+k] = []string{v}
		need.Keys["ec2:ResourceTag/"+k] = []string{v}
	}
	return need
}

// launchPermissions are those for the role of an instance and for the parameter that names its image.
func launchPermissions(r *request) []iam.Request {
	var need []iam.Request
	if role := r.server.RoleOf(profileOf(r.query)); role != "" { // without a role, EC2 returns its error
		need = append(need, iam.Request{
			Action: "iam:PassRole", Resource: role,
			Keys: map[string][]string{"iam:PassedToService": {"ec2.amazonaws.com"}},
		})
	}
	if id := r.query.String("ImageId"); isParameter(id) {
		need = append(need, iam.Request{Action: "ssm:GetParameters",
			Resource: ssm.ARN(r.region, cloud.Account, strings.TrimPrefix(id, parameterPrefix))})
	}
	return need
}

// sourcePermission is that for the image that is copied. The reference lists no condition key about its tags, so that
// here, no condition about them is met.
func sourcePermission(r *request) iam.Request {
	return iam.Request{Action: "ec2:CopyImage",
		Resource: arn(r.query.String("SourceRegion"), "image", r.query.String("SourceImageId"))}
}

// keyPermissions are those for the keys that a call names, which EC2 uses on behalf of the sender:
// https://docs.aws.amazon.com/ebs/latest/userguide/ebs-encryption-requirements.html#ebs-encryption-permissions.
func keyPermissions(r *request) []iam.Request {
	var need []iam.Request
	for _, key := range namedKeys(r) {
		actions := []string{"kms:DescribeKey", "kms:CreateGrant", "kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext"}
		if r.action == "CopyImage" {
			actions = append(actions, "kms:ReEncryptFrom", "kms:ReEncryptTo")
		}
		for _, action := range actions {
			keys := map[string][]string{"kms:ViaService": {"ec2." + r.region + ".amazonaws.com"}}
			if action == "kms:CreateGrant" {
				keys["kms:GrantIsForAWSResource"] = []string{"true"}
			}
			need = append(need, iam.Request{Action: action, Resource: cloud.KeyARN(r.region, key), Keys: keys})
		}
	}
	return need
}

// namedKeys returns the keys of KMS that a call names, for copies and for disks.
func namedKeys(r *request) []string {
	keys := []string{r.query.String("KmsKeyId")}
	for _, d := range r.query.List("BlockDeviceMapping") {
		keys = append(keys, d.String("Ebs.KmsKeyId"))
	}
	return slices.DeleteFunc(keys, func(key string) bool { return key == "" })
}

// snapshotsOf are the permissions to delete the snapshots of an image with it.
func (s *Server) snapshotsOf(r *request) []iam.Request {
	image, err := s.Cloud.Image(r.region, r.query.String("ImageId"))
	if err != nil {
		return nil // the call returns this error
	}
	var need []iam.Request
	for _, d := range image.Devices {
		if d.SnapshotID != "" {
			need = append(need, s.permissionOn("ec2:DeleteSnapshot", r.region, d.SnapshotID))
		}
	}
	return need
}

// arn returns the ARN of an EC2 resource. Those of images and snapshots have no account.
func arn(region, kind, id string) string {
	account := cloud.Account
	if kind == "image" || kind == "snapshot" {
		account = ""
	}
	return "arn:aws:ec2:" + region + ":" + account + ":" + kind + "/" + id
}
