// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awscall

import (
	"encoding/csv"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Filter returns a filter as EC2 takes it: what matches has one of the values.
func Filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

// Filters returns a template's filters as EC2 takes them, sorted by name. The caller has checked them with
// FilterValues.
func Filters(wanted map[string]string) []types.Filter {
	var all []types.Filter
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		values, _ := FilterValues(wanted[name])
		all = append(all, Filter(name, values...))
	}
	return all
}

// FiltersWithDefault returns the template's filters and one more, unless the template has that one itself.
func FiltersWithDefault(wanted map[string]string, name, value string) []types.Filter {
	all := Filters(wanted)
	if _, ok := wanted[name]; !ok && value != "" {
		all = append(all, Filter(name, value))
	}
	return all
}

// FilterValues reads the values of one filter of a template: a line of comma-separated values, as with amazon-ebs.
func FilterValues(text string) ([]string, error) {
	r := csv.NewReader(strings.NewReader(text))
	r.TrimLeadingSpace, r.LazyQuotes = true, true
	return r.Read()
}
