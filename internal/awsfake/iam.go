// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsfake

import (
	"net/http"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
)

func (a *Account) actOnIAM(q query) (answer string, failure *Failure, known bool) {
	switch q.action {
	case "GetCallerIdentity":
		answer = value("Account", AccountID)
	case "ListRoles", "GetInstanceProfile":
	case "CreateRole", "PutRolePolicy", "CreateInstanceProfile", "AddRoleToInstanceProfile":
		failure = a.addProfilePart(q.action)
	case "DeleteRole", "DeleteRolePolicy", "DeleteInstanceProfile", "RemoveRoleFromInstanceProfile":
		return "", a.removeProfilePart(q.action), true
	default:
		return "", nil, false
	}
	return element(q.action+"Result", answer), failure, true
}

func (a *Account) addProfilePart(action string) *Failure {
	part := strings.NewReplacer("Create", "", "Put", "", "AddRoleTo", "RoleOf").Replace(action)
	if a.ProfileParts[part] && strings.HasPrefix(action, "Create") {
		return &Failure{http.StatusConflict, awscall.CodeEntityExists}
	}
	a.ProfileParts[part] = true
	return nil
}

func (a *Account) removeProfilePart(action string) *Failure {
	part := strings.NewReplacer("Delete", "", "RemoveRoleFrom", "RoleOf").Replace(action)
	if !a.ProfileParts[part] {
		return &Failure{http.StatusNotFound, awscall.CodeNoSuchEntity}
	}
	delete(a.ProfileParts, part)
	return nil
}
