// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package iamapi is AWS Identity and Access Management of the lab: roles, their inline policies and instance profiles.
// Package iam evaluates the policy documents. It may not know EC2 or signatures.
package iamapi

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/awsquery"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/iam"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/model"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/service"
)

type handler func(*Store, url.Values) (any, error)

var handlers = map[string]handler{
	"CreateRole":                    createRole,
	"GetRole":                       getRole,
	"ListRoles":                     listRoles,
	"ListRoleTags":                  listRoleTags,
	"DeleteRole":                    deleteRole,
	"PutRolePolicy":                 putRolePolicy,
	"GetRolePolicy":                 getRolePolicy,
	"ListRolePolicies":              listRolePolicies,
	"DeleteRolePolicy":              deleteRolePolicy,
	"ListAttachedRolePolicies":      listAttachedRolePolicies,
	"ListInstanceProfilesForRole":   listInstanceProfilesForRole,
	"CreateInstanceProfile":         createInstanceProfile,
	"GetInstanceProfile":            getInstanceProfile,
	"ListInstanceProfiles":          listInstanceProfiles,
	"DeleteInstanceProfile":         deleteInstanceProfile,
	"AddRoleToInstanceProfile":      addRoleToInstanceProfile,
	"RemoveRoleFromInstanceProfile": removeRoleFromInstanceProfile,
}

// Actions returns the names of all actions.
func Actions() []string { return sortedNames(handlers) }

var table = model.MustLoad("iam")

// namespace of the XML of every response.
const namespace = "https://iam.amazonaws.com/doc/2010-05-08/"

// Name implements service.Service, as do Parse, Errors and WriteError.
func (s *Store) Name() string { return service.IAM }

// Parse reads the form of a request.
func (s *Store) Parse(r *service.Request) (service.Action, error) {
	form, err := awsquery.Parse(r.Body)
	return &action{form, s}, err
}

// Errors returns how IAM reports errors.
func (s *Store) Errors() *service.Errors { return &iamErrors }

// WriteError answers with an error as XML.
func (s *Store) WriteError(w http.ResponseWriter, _ *service.Request, e *apierror.Error) {
	awsquery.WriteError(w, namespace, iamErrors.Status(e.Code), e)
}

// action is one request.
type action struct {
	awsquery.Form
	store *Store
}

func (a *action) Permissions() []iam.Request { return a.store.permissions(a.Name(), a.Values) }

// NotVisibleYet implements service.EventuallyConsistent.
func (a *action) NotVisibleYet(minAge time.Duration) error {
	return errors.Join(a.store.roleNotVisibleYet(a.Get("RoleName"), minAge),
		a.store.ProfileNotVisibleYet(a.Get("InstanceProfileName"), minAge))
}

func (a *action) Do(w http.ResponseWriter, _ service.Sender) error {
	if err := a.Check(table); err != nil {
		return err
	}
	result, err := a.store.do(a.Name(), a.Values)
	if err != nil {
		return err
	}
	return awsquery.Write(w, namespace, a.Name(), result)
}

// do runs an action and returns its result.
func (s *Store) do(name string, form url.Values) (any, error) {
	handle := handlers[name]
	if handle == nil {
		return nil, apierror.New("InvalidAction", "Could not find operation "+name+" for version 2010-05-08")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return handle(s, form)
}

// newID returns an id in IAM's form: a prefix such as AROA, and 17 letters and digits.
func newID(prefix string) string { return prefix + strings.ToUpper(random(9))[:17] }

// random returns n random bytes in hexadecimal.
func random(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}
