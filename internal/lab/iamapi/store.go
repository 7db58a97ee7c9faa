// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package iamapi

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
)

// Store is an account's roles and instance profiles. Safe for use by several goroutines.
type Store struct {
	account string
	delay   time.Duration // until EC2 knows a change

	mu       sync.Mutex
	roles    map[string]*role
	profiles map[string]*profile
}

type role struct {
	name, path, id, description, trust string
	seeded                             bool // it exists from the start, and the lab's role policy limits it
	created                            time.Time
	maxSession                         time.Duration     // of its sessions; 0: the default
	policies                           map[string]string // documents by name
	tags                               []tag
}

type profile struct {
	name, path, id string
	seeded         bool
	created        time.Time
	role           string // "" when there is none; IAM allows one
	changed        time.Time
	tags           []tag
}

type tag struct {
	Key   string
	Value string
}

// New returns a store with one instance profile and its role, which has the same name and which the lab's role policy
// limits. EC2 knows later changes after the delay, which is seconds on AWS.
func New(account, seed string, delay time.Duration) *Store {
	s := &Store{account: account, delay: delay, roles: map[string]*role{}, profiles: map[string]*profile{}}
	s.roles[seed] = &role{name: seed, path: "/", id: newID("AROA"), trust: ec2Trust, seeded: true,
		created: time.Now().UTC()}
	s.profiles[seed] = &profile{name: seed, path: "/", id: newID("AIPA"), seeded: true, created: time.Now().UTC(),
		role: seed}
	return s
}

// ec2Trust is the trust policy that allows EC2 to assume a role.
const ec2Trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow",` +
	`"Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

// Profile is what EC2 knows of an instance profile.
type Profile struct {
	Known bool   // false also when EC2 does not know a change yet
	ID    string // AIPA...
	Role  string // "" without
}

// Profile returns what EC2 knows of an instance profile now.
func (s *Store) Profile(name string) Profile {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.profiles[name]
	if p == nil || time.Since(p.changed) < s.delay {
		return Profile{}
	}
	return Profile{Known: true, ID: p.id, Role: p.role}
}

// Allows reports whether the inline policies of a role allow a request. known is false for roles without policies here:
// unknown ones, and the one that exists from the start.
func (s *Store) Allows(roleName string, want iam.Request) (allowed, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.roles[roleName]
	if r == nil || r.seeded {
		return false, false
	}
	for _, document := range r.policies {
		p, err := iam.Parse([]byte(document)) // never fails: it was parsed before it was stored
		switch {
		case err != nil || p.Denies(want):
			return false, true
		case p.Allows(want):
			allowed = true
		}
	}
	return allowed, true
}

// Entity is a role or an instance profile, for lists of the lab's resources.
type Entity struct {
	Kind, Name string // role or instance-profile
	Seeded     bool   // it exists from the start
	Created    time.Time
	Tags       map[string]string
}

// Entities returns all roles and instance profiles, by name.
func (s *Store) Entities() []Entity {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Entity
	for _, name := range sortedNames(s.roles) {
		r := s.roles[name]
		all = append(all, Entity{"role", name, r.seeded, r.created, tagMap(r.tags)})
	}
	for _, name := range sortedNames(s.profiles) {
		p := s.profiles[name]
		all = append(all, Entity{"instance-profile", name, p.seeded, p.created, tagMap(p.tags)})
	}
	return all
}

func (s *Store) roleNotVisibleYet(name string, minAge time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.roles[name]; r != nil && time.Since(r.created) < minAge && !r.seeded {
		return noRole(name)
	}
	return nil
}

// ProfileNotVisibleYet returns the error for an instance profile that does not exist while the profile is younger than
// minAge.
func (s *Store) ProfileNotVisibleYet(name string, minAge time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.profiles[name]; p != nil && time.Since(p.created) < minAge && !p.seeded {
		return noProfile(name)
	}
	return nil
}

func tagMap(tags []tag) map[string]string {
	m := map[string]string{}
	for _, t := range tags {
		m[t.Key] = t.Value
	}
	return m
}

func (s *Store) findRole(name string) (*role, error) {
	if r := s.roles[name]; r != nil {
		return r, nil
	}
	return nil, noRole(name)
}

func (s *Store) findProfile(name string) (*profile, error) {
	if p := s.profiles[name]; p != nil {
		return p, nil
	}
	return nil, noProfile(name)
}

func noRole(name string) error {
	return apierror.New("NoSuchEntity", "The role with name "+name+" cannot be found.")
}

func noProfile(name string) error {
	return apierror.New("NoSuchEntity", "Instance Profile "+name+" cannot be found.")
}

func (s *Store) arn(kind, path, name string) string {
	return fmt.Sprintf("arn:aws:iam::%s:%s%s%s", s.account, kind, path, name)
}

// sortedNames returns a map's keys in order.
func sortedNames[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// validatedPath checks the path of a role or an instance profile; without one it is /.
func validatedPath(path string) (string, error) {
	path = cmp.Or(path, "/")
	if !strings.HasPrefix(path, "/") || !strings.HasSuffix(path, "/") {
		return "", apierror.New("ValidationError",
			"The specified value for path is invalid. It must begin and end with / and contain only alphanumeric "+
				"characters and/or / characters.")
	}
	return path, nil
}
