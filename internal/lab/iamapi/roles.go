// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package iamapi

import (
	"cmp"
	"encoding/json"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/awsquery"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
)

// policyLimit is the size limit of all inline policies of a role, in characters without white space
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html).
const policyLimit = 10240

var validName = regexp.MustCompile(`^[\w+=,.@-]+$`)

// validatedName reads a name. The limit is its length: 64 characters for roles, 128 for all else.
func validatedName(form url.Values, parameter string, limit int) (string, error) {
	name := form.Get(parameter)
	switch {
	case name == "":
		return "", apierror.New("ValidationError", "The request must contain the parameter "+parameter+".")
	case !validName.MatchString(name) || len(name) > limit:
		return "", apierror.New("ValidationError",
			"The specified value for "+parameter+" is invalid. It must contain only alphanumeric characters and/or "+
				"the following: +=,.@_-")
	}
	return name, nil
}

func tagsOf(form url.Values) []tag {
	var all []tag
	for n := 1; form.Has("Tags.member." + strconv.Itoa(n) + ".Key"); n++ {
		prefix := "Tags.member." + strconv.Itoa(n) + "."
		all = append(all, tag{form.Get(prefix + "Key"), form.Get(prefix + "Value")})
	}
	return all
}

type roleXML struct {
	Path        string
	RoleName    string
	RoleID      string `xml:"RoleId"`
	ARN         string `xml:"Arn"`
	Created     string `xml:"CreateDate"`
	Trust       string `xml:"AssumeRolePolicyDocument"` // percent-encoded, as IAM sends documents
	Description string `xml:",omitempty"`
	MaxSession  int    `xml:"MaxSessionDuration"`
	Tags        []tag  `xml:"Tags>member"`
}

type roleResult struct{ Role roleXML }

func (s *Store) roleXML(r *role) roleXML {
	return roleXML{
		Path: r.path, RoleName: r.name, RoleID: r.id, ARN: s.arn("role", r.path, r.name),
		Created: r.created.Format(time.RFC3339),
		Trust:   url.PathEscape(r.trust), Description: r.description,
		MaxSession: int(cmp.Or(r.maxSession, defaultMaxSession).Seconds()), Tags: r.tags,
	}
}

func createRole(s *Store, form url.Values) (any, error) {
	name, err := validatedName(form, "RoleName", 64)
	if err != nil {
		return nil, err
	}
	path, err := validatedPath(form.Get("Path"))
	if err != nil {
		return nil, err
	}
	trust := form.Get("AssumeRolePolicyDocument")
	if !json.Valid([]byte(trust)) {
		return nil, apierror.New("MalformedPolicyDocument", "This policy contains invalid Json")
	}
	if s.roles[name] != nil {
		return nil, apierror.New("EntityAlreadyExists", "Role with name "+name+" already exists.")
	}
	maxSession, err := sessionLimit(form.Get("MaxSessionDuration"))
	if err != nil {
		return nil, err
	}
	r := &role{
		name: name, path: path, id: newID("AROA"), description: form.Get("Description"), trust: trust,
		maxSession: maxSession,
		created:    time.Now().UTC(),
		policies:   map[string]string{}, tags: tagsOf(form),
	}
	s.roles[name] = r
	return roleResult{s.roleXML(r)}, nil
}

// defaultMaxSession is how long a session of a role lasts at most, unless the role says something else.
const defaultMaxSession = time.Hour

// sessionLimit reads the MaxSessionDuration of a role.
func sessionLimit(asked string) (time.Duration, error) {
	if asked == "" {
		return defaultMaxSession, nil
	}
	n, err := strconv.Atoi(asked)
	if err != nil || n < 3600 || n > 43200 {
		return 0, apierror.New("ValidationError", "1 validation error detected: Value '"+asked+"' at "+
			"'maxSessionDuration' failed to satisfy constraint: Member must have value between 3600 and 43200")
	}
	return time.Duration(n) * time.Second, nil
}

// MaxSession returns how long a session of a role lasts at most.
func (s *Store) MaxSession(name string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.roles[name]; r != nil && r.maxSession > 0 {
		return r.maxSession
	}
	return defaultMaxSession
}

func getRole(s *Store, form url.Values) (any, error) {
	r, err := s.findRole(form.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	return roleResult{s.roleXML(r)}, nil
}

func listRoles(s *Store, form url.Values) (any, error) {
	var x struct {
		IsTruncated bool
		Roles       []roleXML `xml:"Roles>member"`
	}
	for _, name := range sortedNames(s.roles) {
		if one := s.roleXML(s.roles[name]); strings.HasPrefix(one.Path, form.Get("PathPrefix")) {
			one.Tags = nil // IAM leaves them out of lists
			x.Roles = append(x.Roles, one)
		}
	}
	return x, nil
}

func listRoleTags(s *Store, form url.Values) (any, error) {
	r, err := s.findRole(form.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	var x struct {
		IsTruncated bool
		Tags        []tag `xml:"Tags>member"`
	}
	x.Tags = r.tags
	return x, nil
}

func deleteRole(s *Store, form url.Values) (any, error) {
	r, err := s.findRole(form.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	for _, p := range s.profiles {
		if p.role == r.name {
			return nil, apierror.New("DeleteConflict",
				"Cannot delete entity, must remove roles from instance profile first.")
		}
	}
	if len(r.policies) > 0 {
		return nil, apierror.New("DeleteConflict", "Cannot delete entity, must delete policies first.")
	}
	delete(s.roles, r.name)
	return awsquery.Empty, nil
}

func putRolePolicy(s *Store, form url.Values) (any, error) {
	r, err := s.findRole(form.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	name, err := validatedName(form, "PolicyName", 128)
	if err != nil {
		return nil, err
	}
	document := form.Get("PolicyDocument")
	if _, err := iam.Parse([]byte(document)); err != nil {
		return nil, apierror.New("MalformedPolicyDocument", "Syntax errors in policy: "+err.Error()+".")
	}
	if len(document) > policyLimit {
		return nil, apierror.New("LimitExceeded", "Maximum policy size of 10240 bytes exceeded for role "+r.name)
	}
	if r.policies == nil {
		r.policies = map[string]string{}
	}
	r.policies[name] = document
	return awsquery.Empty, nil
}

func getRolePolicy(s *Store, form url.Values) (any, error) {
	r, err := s.findRole(form.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	name := form.Get("PolicyName")
	document, ok := r.policies[name]
	if !ok {
		return nil, noPolicy(name)
	}
	return struct{ RoleName, PolicyName, PolicyDocument string }{r.name, name, url.PathEscape(document)}, nil
}

func noPolicy(name string) error {
	return apierror.New("NoSuchEntity", "The role policy with name "+name+" cannot be found.")
}

func listRolePolicies(s *Store, form url.Values) (any, error) {
	r, err := s.findRole(form.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	return struct {
		IsTruncated bool
		PolicyNames []string `xml:"PolicyNames>member"`
	}{false, sortedNames(r.policies)}, nil
}

// listAttachedRolePolicies returns an empty list, because the lab has inline policies only. Clients call it before they
// delete a role.
func listAttachedRolePolicies(s *Store, form url.Values) (any, error) {
	_, err := s.findRole(form.Get("RoleName"))
	return struct {
		IsTruncated      bool
		AttachedPolicies struct{}
	}{}, err
}

func deleteRolePolicy(s *Store, form url.Values) (any, error) {
	r, err := s.findRole(form.Get("RoleName"))
	if err != nil {
		return nil, err
	}
	name := form.Get("PolicyName")
	if _, ok := r.policies[name]; !ok {
		return nil, noPolicy(name)
	}
	delete(r.policies, name)
	return awsquery.Empty, nil
}
