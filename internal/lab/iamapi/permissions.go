// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package iamapi

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
)

// Permissions are what the sender of a request must be allowed: the action on the role or the instance profile, and what
// comes with tags and with roles in profiles. By
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html.
func (s *Store) Permissions(action string, form url.Values) []iam.Request {
	role, profile := s.arn("role", "/", form.Get("RoleName")), s.arn("instance-profile", "/", form.Get("InstanceProfileName"))
	on := "*"
	switch {
	case form.Has("InstanceProfileName"):
		on = profile
	case form.Has("RoleName"):
		on = role
	}
	need := []iam.Request{{Action: "iam:" + action, Resource: on, Keys: requested(form)}}
	switch {
	case action == "AddRoleToInstanceProfile":
		need = append(need, iam.Request{Action: "iam:PassRole", Resource: role, Keys: map[string][]string{"iam:PassedToService": {"ec2.amazonaws.com"}}})
	case form.Has("Tags.member.1.Key"):
		tag := "iam:Tag" + strings.TrimPrefix(action, "Create")
		need = append(need, iam.Request{Action: tag, Resource: on, Keys: requested(form)})
	}
	return need
}

// requested are the keys of the tags in a request.
func requested(form url.Values) map[string][]string {
	keys := map[string][]string{}
	for n := 1; form.Has("Tags.member." + strconv.Itoa(n) + ".Key"); n++ {
		at := "Tags.member." + strconv.Itoa(n)
		keys["aws:RequestTag/"+form.Get(at+".Key")] = []string{form.Get(at + ".Value")}
		keys["aws:TagKeys"] = append(keys["aws:TagKeys"], form.Get(at+".Key"))
	}
	return keys
}
