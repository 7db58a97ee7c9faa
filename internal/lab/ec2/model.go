// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"fmt"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/model"
)

var table = model.MustLoad("ec2")

// node returns the tree as package model has it, without the parameters that every request has.
func (q *Query) node() *model.Node {
	n := &model.Node{Value: q.value}
	for name, child := range q.children {
		if name == "Action" || name == "Version" {
			continue
		}
		if n.Children == nil {
			n.Children = map[string]*model.Node{}
		}
		n.Children[name] = child.node()
	}
	return n
}

// checkModel returns the error for a request that is not as EC2's model says.
func checkModel(action string, q *Query) error {
	for _, p := range table.Check(action, q.node()) {
		empty := p.Value == "" && p.Kind != model.Unknown && p.Kind != model.Missing && p.Shape.Type != "list"
		if empty { // EC2 takes it for none
			continue
		}
		return refusal(p)
	}
	return nil
}

func refusal(p model.Problem) error {
	name := p.Name()
	switch {
	case p.Kind == model.Unknown:
		return apierror.Errorf("UnknownParameter", "The parameter %s is not recognized", name)
	case p.Kind == model.Missing:
		return missing(name)
	case name == "Name":
		return cloud.MalformedImageName()
	case name == "LaunchTemplateName":
		return apierror.Errorf("InvalidLaunchTemplateName.MalformedException",
			"A launch template name must be between 3 and 128 characters, and may contain letters, numbers, and the "+
				"following characters: - ( ) . / _.")
	case p.Kind == model.Small:
		return tooSmall(name, p.Value, int64(*p.Shape.Min))
	case p.Kind == model.Large:
		return tooLarge(name, p.Value, int64(*p.Shape.Max))
	case strings.HasSuffix(name, ".ResourceType"):
		return notTaggable(p.Value)
	case p.Kind == model.Invalid:
		return invalid(name, p.Value, "Expected one of: ["+strings.Join(p.Shape.Enum, ", ")+"]")
	case p.Kind == model.Type:
		return apierror.Errorf("InvalidParameterValue", "Invalid value '%s' for %s. It must be a %s.", p.Value, name,
			p.Shape.Type)
	case p.Kind == model.Short:
		return invalid(name, p.Value, fmt.Sprintf("Its length must be at least %v.", *p.Shape.Min))
	case p.Kind == model.Long:
		return invalid(name, p.Value, fmt.Sprintf("Its length must be at most %v.", *p.Shape.Max))
	}
	return invalid(name, p.Value, "It must match "+p.Shape.Pattern+".")
}

func invalid(name, value, why string) error {
	return apierror.Errorf("InvalidParameterValue", "Value (%s) for parameter %s is invalid. %s", value, name, why)
}

// The names of parameters in these messages begin with a small letter, as EC2's do.
func tooSmall(name, value string, least int64) error {
	return apierror.Errorf("InvalidParameterValue",
		"Value ( %s ) for parameter %s is invalid. Expecting a value greater than %d.", value, lowerFirst(name), least)
}

func tooLarge(name, value string, most int64) error {
	return apierror.Errorf("InvalidParameterValue",
		"Value ( %s ) for parameter %s is invalid. Expecting a value less than %d.", value, lowerFirst(name), most)
}

func lowerFirst(name string) string { return strings.ToLower(name[:1]) + name[1:] }

func notTaggable(kind string) error {
	return apierror.Errorf("InvalidParameterValue",
		"'%s' is not a valid taggable resource type for this operation.", kind)
}

// taggable are the types of resources that an action can tag when it creates them: what the documentation of its
// parameter TagSpecifications says. An action that is not here takes no tags.
var taggable = map[string][]string{
	"AuthorizeSecurityGroupEgress":  {"security-group-rule"},
	"AuthorizeSecurityGroupIngress": {"security-group-rule"},
	"CopyImage":                     {"image", "snapshot"},
	"CreateFleet":                   {"fleet", "instance"},
	"CreateImage":                   {"image", "snapshot"},
	"CreateKeyPair":                 {"key-pair"},
	"CreateLaunchTemplate":          {"launch-template"},
	"CreateSecurityGroup":           {"security-group"},
	"CreateSnapshot":                {"snapshot"},
	"ImportKeyPair":                 {"key-pair"},
	"RegisterImage":                 {"image"},
	"RunInstances":                  {"instance", "volume", "network-interface", "spot-instances-request"},
}

// checkTagSpecifications returns the error for tags of resources that the action does not create.
func checkTagSpecifications(action string, q *Query) error {
	for _, spec := range q.List("TagSpecification") {
		kind := spec.String("ResourceType")
		spotOnly := kind == "spot-instances-request" && q.String("InstanceMarketOptions.MarketType") != "spot"
		switch {
		case kind == "":
			return apierror.Errorf("InvalidParameterValue", "Tag specification resource type must have a value")
		case !slices.Contains(taggable[action], kind), spotOnly:
			return notTaggable(kind)
		case len(spec.List("Tag")) == 0:
			return apierror.Errorf("InvalidParameterValue", "Tag specification must have at least one tag")
		}
	}
	for _, spec := range q.List("LaunchTemplateData.TagSpecification") {
		if kind := spec.String("ResourceType"); !slices.Contains(taggable["RunInstances"], kind) {
			return notTaggable(kind)
		}
	}
	return nil
}
