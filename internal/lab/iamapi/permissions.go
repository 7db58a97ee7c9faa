// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package iamapi

import (
	"cmp"
	"net/url"
	"strconv"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
)

// permissions are what the sender of a request must be allowed to do: the action on the role or the instance profile,
// and for tags and roles in instance profiles what
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html says.
func (s *Store) permissions(action string, form url.Values) []iam.Request {
	role, profile := s.namedARNs(form)
	on := "*"
	switch {
	case form.Has("InstanceProfileName"):
		on = profile
	case form.Has("RoleName"):
		on = role
	}
	need := []iam.Request{{Action: "iam:" + action, Resource: on, Keys: requestTagKeys(form)}}
	switch {
	case action == "AddRoleToInstanceProfile":
		need = append(need, iam.Request{Action: "iam:PassRole", Resource: role,
			Keys: map[string][]string{"iam:PassedToService": {"ec2.amazonaws.com"}}})
	case form.Has("Tags.member.1.Key"):
		tag := "iam:Tag" + strings.TrimPrefix(action, "Create")
		need = append(need, iam.Request{Action: tag, Resource: on, Keys: requestTagKeys(form)})
	}
	return need
}

// namedARNs returns the ARNs of the role and the instance profile that a request names. Their paths are those of
// existing ones, or the one in the request.
func (s *Store) namedARNs(form url.Values) (roleARN, profileARN string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := cmp.Or(form.Get("Path"), "/")
	rolePath, profilePath := path, path
	if r := s.roles[form.Get("RoleName")]; r != nil {
		rolePath = r.path
	}
	if p := s.profiles[form.Get("InstanceProfileName")]; p != nil {
		profilePath = p.path
	}
	return s.arn("role", rolePath, form.Get("RoleName")),
		s.arn("instance-profile", profilePath, form.Get("InstanceProfileName"))
}

// RoleOf returns the ARN of the role of an instance profile that EC2 knows, or "".
func (s *Store) RoleOf(profile string) string {
	name := s.Profile(profile).Role
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.roles[name]
	if r == nil {
		return ""
	}
	return s.arn("role", r.path, r.name)
}

// requestTagKeys returns the condition keys of the tags in a request.
func requestTagKeys(form url.Values) map[string][]string {
	keys := map[string][]string{}
	for n := 1; form.Has("Tags.member." + strconv.Itoa(n) + ".Key"); n++ {
		at := "Tags.member." + strconv.Itoa(n)
		keys["aws:RequestTag/"+form.Get(at+".Key")] = []string{form.Get(at + ".Value")}
		keys["aws:TagKeys"] = append(keys["aws:TagKeys"], form.Get(at+".Key"))
	}
	return keys
}
