// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package iamapi

import (
	"net/url"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/awsquery"
)

type profileXML struct {
	Path    string
	Name    string    `xml:"InstanceProfileName"`
	ID      string    `xml:"InstanceProfileId"`
	ARN     string    `xml:"Arn"`
	Created string    `xml:"CreateDate"`
	Roles   []roleXML `xml:"Roles>member"`
	Tags    []tag     `xml:"Tags>member"`
}

type profileResult struct{ InstanceProfile profileXML }

type profilesResult struct {
	IsTruncated bool
	Profiles    []profileXML `xml:"InstanceProfiles>member"`
}

func (s *Store) profileXML(p *profile) profileXML {
	x := profileXML{
		Path: p.path, Name: p.name, ID: p.id, ARN: s.arn("instance-profile", p.path, p.name),
		Created: p.created.Format(time.RFC3339), Tags: p.tags,
	}
	if r := s.roles[p.role]; r != nil {
		x.Roles = []roleXML{s.roleXML(r)}
	}
	return x
}

func createInstanceProfile(s *Store, form url.Values) (any, error) {
	name, err := validatedName(form, "InstanceProfileName", 128)
	if err != nil {
		return nil, err
	}
	path, err := validatedPath(form.Get("Path"))
	if err != nil {
		return nil, err
	}
	if s.profiles[name] != nil {
		return nil, apierror.New("EntityAlreadyExists", "Instance Profile "+name+" already exists.")
	}
	now := time.Now().UTC()
	p := &profile{name: name, path: path, id: newID("AIPA"), created: now, changed: now, tags: tagsOf(form)}
	s.profiles[name] = p
	return profileResult{s.profileXML(p)}, nil
}

func getInstanceProfile(s *Store, form url.Values) (any, error) {
	p, err := s.findProfile(form.Get("InstanceProfileName"))
	if err != nil {
		return nil, err
	}
	return profileResult{s.profileXML(p)}, nil
}

func listInstanceProfiles(s *Store, _ url.Values) (any, error) {
	var x profilesResult
	for _, name := range sortedNames(s.profiles) {
		x.Profiles = append(x.Profiles, s.profileXML(s.profiles[name]))
	}
	return x, nil
}

func listInstanceProfilesForRole(s *Store, form url.Values) (any, error) {
	r, err := s.findRole(form.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	var x profilesResult
	for _, name := range sortedNames(s.profiles) {
		if p := s.profiles[name]; p.role == r.name {
			x.Profiles = append(x.Profiles, s.profileXML(p))
		}
	}
	return x, nil
}

func deleteInstanceProfile(s *Store, form url.Values) (any, error) {
	p, err := s.findProfile(form.Get("InstanceProfileName"))
	if err != nil {
		return nil, err
	}
	if p.role != "" {
		return nil, apierror.New("DeleteConflict",
			"Cannot delete entity, must remove roles from instance profile first.")
	}
	delete(s.profiles, p.name)
	return awsquery.Empty, nil
}

func addRoleToInstanceProfile(s *Store, form url.Values) (any, error) {
	p, err := s.findProfile(form.Get("InstanceProfileName"))
	if err != nil {
		return nil, err
	}
	r, err := s.findRole(form.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	if p.role != "" {
		return nil, apierror.New("LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
	}
	p.role, p.changed = r.name, time.Now()
	return awsquery.Empty, nil
}

func removeRoleFromInstanceProfile(s *Store, form url.Values) (any, error) {
	p, err := s.findProfile(form.Get("InstanceProfileName"))
	if err != nil {
		return nil, err
	}
	name := form.Get("RoleName")
	if p.role != name || name == "" {
		return nil, apierror.New("NoSuchEntity", "Instance Profile "+p.name+" does not contain role "+name+".")
	}
	p.role, p.changed = "", time.Now()
	return awsquery.Empty, nil
}
