// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"maps"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// handler runs one action and returns what to encode as XML.
type handler func(*Server, *request) (any, error)

// handlers are the actions of the lab: all that bakery-userdata and amazon-ebs call, and those with which people look
// at their account.
var handlers map[string]handler

func init() { //nolint:gochecknoinits // the table refers to functions that refer to the table
	handlers = map[string]handler{}
	maps.Copy(handlers, instanceHandlers())
	maps.Copy(handlers, imageHandlers())
	maps.Copy(handlers, accountHandlers())
	maps.Copy(handlers, settingHandlers())
}

// Actions returns the names of all actions.
func Actions() []string { return sortedKeys(handlers) }

// instanceHandlers are the actions of instances, Spot requests and launch templates.
func instanceHandlers() map[string]handler {
	return map[string]handler{
		"RunInstances":                         runInstances,
		"DescribeInstances":                    describeInstances,
		"DescribeInstanceStatus":               describeInstanceStatus,
		"StopInstances":                        stopInstances,
		"StartInstances":                       startInstances,
		"RebootInstances":                      rebootInstances,
		"TerminateInstances":                   terminateInstances,
		"GetConsoleOutput":                     getConsoleOutput,
		"ModifyInstanceAttribute":              modifyInstanceAttribute,
		"DescribeInstanceAttribute":            describeInstanceAttribute,
		"ModifyInstanceMetadataOptions":        modifyInstanceMetadataOptions,
		"DescribeInstanceTypes":                describeInstanceTypes,
		"DescribeInstanceTypeOfferings":        describeInstanceTypeOfferings,
		"DescribeInstanceCreditSpecifications": describeInstanceCreditSpecifications,
		"DescribeNetworkInterfaces":            describeNetworkInterfaces,
		"DescribeSpotInstanceRequests":         describeSpotInstanceRequests,
		"CancelSpotInstanceRequests":           cancelSpotInstanceRequests,
		"DescribeSpotPriceHistory":             describeSpotPriceHistory,
		"CreateLaunchTemplate":                 createLaunchTemplate,
		"DescribeLaunchTemplates":              describeLaunchTemplates,
		"DeleteLaunchTemplate":                 deleteLaunchTemplate,
		"CreateFleet":                          createFleet,
	}
}

// imageHandlers are the actions of images, snapshots, volumes and tags.
func imageHandlers() map[string]handler {
	return map[string]handler{
		"CreateImage":                          createImage,
		"DescribeImages":                       describeImages,
		"DeregisterImage":                      deregisterImage,
		"CopyImage":                            copyImage,
		"RegisterImage":                        registerImage,
		"ModifyImageAttribute":                 modifyImageAttribute,
		"DescribeImageAttribute":               describeImageAttribute,
		"ResetImageAttribute":                  resetImageAttribute,
		"EnableImageDeprecation":               enableImageDeprecation,
		"DisableImageDeprecation":              disableImageDeprecation,
		"EnableImageDeregistrationProtection":  enableImageDeregistrationProtection,
		"DisableImageDeregistrationProtection": disableImageDeregistrationProtection,
		"CreateSnapshot":                       createSnapshot,
		"DescribeSnapshots":                    describeSnapshots,
		"DeleteSnapshot":                       deleteSnapshot,
		"ModifySnapshotAttribute":              modifySnapshotAttribute,
		"DescribeSnapshotAttribute":            describeSnapshotAttribute,
		"DescribeVolumes":                      describeVolumes,
		"DeleteVolume":                         deleteVolume,
		"CreateTags":                           createTags,
		"DeleteTags":                           deleteTags,
		"DescribeTags":                         describeTags,
	}
}

// accountHandlers are the actions of the network, key pairs and the account.
func accountHandlers() map[string]handler {
	return map[string]handler{
		"CreateSecurityGroup":           createSecurityGroup,
		"DeleteSecurityGroup":           deleteSecurityGroup,
		"DescribeSecurityGroups":        describeSecurityGroups,
		"AuthorizeSecurityGroupIngress": authorizeIngress,
		"AuthorizeSecurityGroupEgress":  authorizeEgress,
		"RevokeSecurityGroupIngress":    revokeIngress,
		"RevokeSecurityGroupEgress":     revokeEgress,
		"DescribeSubnets":               describeSubnets,
		"DescribeVpcs":                  describeVpcs,
		"DescribeRegions":               describeRegions,
		"DescribeAvailabilityZones":     describeAvailabilityZones,
		"DescribeAccountAttributes":     describeAccountAttributes,
		"CreateKeyPair":                 createKeyPair,
		"ImportKeyPair":                 importKeyPair,
		"DescribeKeyPairs":              describeKeyPairs,
		"DeleteKeyPair":                 deleteKeyPair,
	}
}

// dryRun returns the error that ends a dry run. Handlers call it when they have checked all that can be checked without
// an effect.
func dryRun(r *request) error {
	if dry, err := r.query.True("DryRun"); err == nil && dry {
		return apierror.Errorf("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
	}
	return nil
}

// stamp formats a time as EC2 does.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

type tagItem struct {
	Key   string `xml:"key"`
	Value string `xml:"value"`
}

type tagSet struct {
	Items []tagItem `xml:"item"`
}

// tagged returns nil without tags: EC2 leaves out the element then.
func tagged(t cloud.Tags) *tagSet {
	if len(t) == 0 {
		return nil
	}
	s := &tagSet{}
	for _, k := range sortedKeys(t) {
		s.Items = append(s.Items, tagItem{k, t[k]})
	}
	return s
}
