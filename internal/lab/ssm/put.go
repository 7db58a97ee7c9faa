// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ssm

import (
	"cmp"
	"regexp"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// Limits of https://docs.aws.amazon.com/general/latest/gr/ssm.html.
const (
	maxLevels = 15
	maxValue  = 4096 // of a parameter of the standard tier
)

var (
	parameterName = regexp.MustCompile(`^[a-zA-Z0-9_.\-/]+$`)
	reservedName  = regexp.MustCompile(`(?i)^/?ssm`)
	awsName       = regexp.MustCompile(`(?i)^/?aws`)
	parameterPath = regexp.MustCompile(`^/[a-zA-Z0-9_.\-/]*$`)
)

// checkName returns the error for a name that no parameter can have.
func checkName(name string) error {
	if parameterName.MatchString(name) && !reservedName.MatchString(name) {
		return nil
	}
	return apierror.New("ValidationException", `Parameter name: can't be prefixed with "ssm" (case-insensitive). If `+
		"formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix "+
		"of letters, numbers and the following 3 symbols .-_")
}

func checkPath(path string) error {
	if parameterPath.MatchString(path) {
		return nil
	}
	return apierror.New("ValidationException", "The parameter doesn't meet the parameter name requirements. The "+
		`parameter name must begin with a forward slash "/". It can't be prefixed with \"aws\" or \"ssm\" `+
		"(case-insensitive). It must use only letters, numbers, or the following symbols: . (period), - (hyphen), _ "+
		"(underscore). Special characters are not allowed. All sub-paths, if specified, must use the forward slash "+
		`symbol "/". Valid example: /get/parameters2-/by1./path0_.`)
}

// checkNewName returns the error for a name that PutParameter does not take.
func checkNewName(name string) error {
	switch {
	case checkName(name) != nil:
		return checkName(name)
	case awsName.MatchString(name):
		return apierror.New("AccessDeniedException", "No access to reserved parameter name: "+name+".")
	case strings.Contains(name, "/") && !strings.HasPrefix(name, "/"):
		return apierror.New("ValidationException", "Parameter name must be a fully qualified name.")
	case strings.Count(name, "/") > maxLevels:
		return apierror.Errorf("HierarchyLevelLimitExceededException", "A hierarchy can have a maximum of %d levels.",
			maxLevels)
	}
	return nil
}

func (s *Store) put(_ string, r input) (any, error) {
	if err := checkNewName(r.Name); err != nil {
		return nil, err
	}
	before := s.parameters[r.Name]
	switch {
	case len(before) > 0 && !r.Overwrite:
		return nil, apierror.New("ParameterAlreadyExists",
			"The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
	case len(before) == 0 && r.Type == "":
		return nil, apierror.New("ValidationException", "A parameter type is required when you create a parameter.")
	case len(r.Value) > maxValue && cmp.Or(r.Tier, "Standard") == "Standard":
		return nil, apierror.Errorf("ValidationException", "Standard tier parameters support a maximum parameter "+
			"value of %d characters. To create a larger parameter value, upgrade the parameter to use the "+
			"advanced-parameter tier.", maxValue)
	}
	v := version{value: r.Value, kind: r.Type, dataType: cmp.Or(r.DataType, "text")}
	if len(before) > 0 {
		v.kind = before[len(before)-1].kind // an update does not change it
	}
	return map[string]any{"Version": s.set(r.Name, v), "Tier": cmp.Or(r.Tier, "Standard")}, nil
}
