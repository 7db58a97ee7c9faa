// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/wildcard"
)

// fields are the values of a resource for filters, by filter name. A filter name that is missing here is not valid for
// the resource. The filters tag:KEY and tag-key use tags.
type fields struct {
	values map[string][]string
	tags   cloud.Tags
}

func (f fields) get(name string) ([]string, bool) {
	if key, ok := strings.CutPrefix(name, "tag:"); ok {
		if v, has := f.tags[key]; has {
			return []string{v}, true
		}
		return nil, true
	}
	if name == "tag-key" {
		var keys []string
		for k := range f.tags {
			keys = append(keys, k)
		}
		return keys, true
	}
	v, ok := f.values[name]
	return v, ok
}

// filtered returns the resources that pass all filters of the request. The values of one filter are alternatives.
func filtered[T any](q *Query, all []T, of func(T) fields) ([]T, error) {
	var matching []T
	for _, filter := range q.List("Filter") {
		name := filter.String("Name")
		var sample T
		if _, ok := of(sample).get(name); !ok {
			return nil, apierror.Errorf("InvalidParameterValue", "The filter '%s' is invalid", name)
		}
		if len(filter.List("Value")) == 0 {
			return nil, apierror.Errorf("InvalidParameterValue", "The filter '%s' has no values", name)
		}
	}
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
		have, _ := f.get(filter.String("Name"))
		if !slices.ContainsFunc(filter.Strings("Value"), func(pattern string) bool {
			return slices.ContainsFunc(have, func(v string) bool { return wildcard.MatchEscaped(pattern, v) })
		}) {
			return false
		}
	}
	return true
}

// page returns the page of a list that MaxResults and NextToken ask for, and the token of the next page.
func page[T any](q *Query, all []T) ([]T, string, error) {
	size, err := q.Int("MaxResults", 0)
	if err != nil {
		return nil, "", err
	}
	if size < 0 || q.Has("MaxResults") && size == 0 {
		return nil, "", apierror.Errorf("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid.",
			size)
	}
	start, err := offset(q.String("NextToken"))
	if err != nil {
		return nil, "", err
	}
	all = all[min(start, len(all)):]
	if size == 0 || int64(len(all)) <= size {
		return all, "", nil
	}
	return all[:size], base64.StdEncoding.EncodeToString([]byte("next:" + strconv.Itoa(start+int(size)))), nil
}

func offset(token string) (int, error) {
	if token == "" {
		return 0, nil
	}
	b, err := base64.StdEncoding.DecodeString(token)
	n, ok := strings.CutPrefix(string(b), "next:")
	at, bad := strconv.Atoi(n)
	if err != nil || !ok || bad != nil || at < 0 {
		return 0, apierror.Errorf("InvalidNextToken", "The token '%s' is invalid", token)
	}
	return at, nil
}
