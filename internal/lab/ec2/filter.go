// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/wildcard"
)

// fields are the values of a resource for filters, by filter name. The filters tag:KEY and tag-key use tags.
type fields struct {
	values map[string][]string
	tags   cloud.Tags
}

// get returns the values of a filter.
func (f fields) get(name string) []string {
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		if v, has := f.tags[key]; has {
			return []string{v}
		}
		return nil
	}
	if name == "tag-key" {
		return sortedKeys(f.tags)
	}
	// what a resource does not have matches no value, not even an asterisk
	return slices.DeleteFunc(slices.Clone(f.values[name]), func(v string) bool { return v == "" })
}

// Limits of the filters of a request (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html).
const (
	maxFilters      = 50
	maxFilterValues = 200 // of all filters
	maxFilterLength = 255
)

// checkFilters returns EC2's error for filters that are not valid for an action.
func checkFilters(q *Query) error {
	filters, values := q.List("Filter"), 0
	if len(filters) > maxFilters {
		return apierror.Errorf("FilterLimitExceeded",
			"The maximum number of filters specified on a single call is %d", maxFilters)
	}
	for _, filter := range filters {
		name, wanted := filter.String("Name"), filter.Strings("Value")
		if !hasFilter(q.String("Action"), name) {
			return apierror.Errorf("InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		if len(wanted) == 0 {
			return apierror.Errorf("InvalidParameterValue", "The filter '%s' has no values", name)
		}
		if values += len(wanted); values > maxFilterValues {
			return apierror.Errorf("FilterLimitExceeded",
				"The maximum number of filter values specified on a single call is %d", maxFilterValues)
		}
		if slices.ContainsFunc(wanted, func(v string) bool { return len(v) > maxFilterLength }) {
			return apierror.Errorf("FilterLimitExceeded",
				"The maximum length for a filter value is %d characters", maxFilterLength)
		}
	}
	return nil
}

// hasFilter reports whether an action has a filter. Those that older clients name otherwise (isDefault) are here.
func hasFilter(action, name string) bool {
	switch {
	case strings.HasPrefix(name, "tag:") && len(name) > len("tag:"):
		name = "tag:<key>"
	case slices.Contains(oldFilters[action], name):
		return true
	}
	return table.HasFilter(action, name)
}

// oldFilters are names that the documentation of an action does not list, or in its text only.
var oldFilters = map[string][]string{
	"DescribeInstances": {"group-id", "group-name"},
	"DescribeSubnets":   {"availabilityZone", "cidr", "cidrBlock", "defaultForAz"},
	"DescribeVpcs":      {"isDefault"},
}

// filtered returns the resources that pass all filters of the request. The values of one filter are alternatives. What
// EC2 can filter by and the lab's resources do not have matches nothing.
func filtered[T any](q *Query, all []T, of func(T) fields) ([]T, error) {
	if err := checkFilters(q); err != nil {
		return nil, err
	}
	var matching []T
	for _, one := range all {
		if f := of(one); matchesFilters(q, f) && !f.hidden(q) {
			matching = append(matching, one)
		}
	}
	return matching, nil
}

// filteredPage returns the resources that pass the request's filters, as many as a page has, and the token of the next
// page.
func filteredPage[T any](q *Query, all []T, of func(T) fields) ([]T, string, error) {
	all, err := filtered(q, all, of)
	if err != nil {
		return nil, "", err
	}
	return page(q, all)
}

// idFields are the filters by the id of the resources that an action lists.
var idFields = map[string]string{
	"DescribeInstances": "instance-id", "DescribeInstanceStatus": "instance-id", "DescribeImages": "image-id",
	"DescribeSnapshots": "snapshot-id", "DescribeVolumes": "volume-id", "DescribeSecurityGroups": "group-id",
	"DescribeSpotInstanceRequests": "spot-instance-request-id", "DescribeNetworkInterfaces": "network-interface-id",
	"DescribeTags": "resource-id",
}

// hidden reports whether the request's lists leave out the resource.
func (f fields) hidden(q *Query) bool {
	if q.hidden == nil {
		return false
	}
	return slices.ContainsFunc(f.values[idFields[q.String("Action")]], q.hidden)
}

func matchesFilters(q *Query, f fields) bool {
	for _, filter := range q.List("Filter") {
		have := f.get(filter.String("Name"))
		if !slices.ContainsFunc(filter.Strings("Value"), func(pattern string) bool {
			return slices.ContainsFunc(have, func(v string) bool { return wildcard.MatchEscaped(pattern, v) })
		}) {
			return false
		}
	}
	return true
}
