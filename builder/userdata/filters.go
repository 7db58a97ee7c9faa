// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"encoding/csv"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// filters are what a template asks for in the form EC2 takes it, in the order of their names.
func filters(asked map[string]string) []types.Filter {
	var all []types.Filter
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		values, _ := filterValues(asked[name]) // checkFilters has told what is wrong
		all = append(all, filter(name, values...))
	}
	return all
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

// withDefault is the template's filters and one more, unless the template has that itself.
func withDefault(asked map[string]string, name, value string) []types.Filter {
	all := filters(asked)
	if _, ok := asked[name]; !ok && value != "" {
		all = append(all, filter(name, value))
	}
	return all
}

// checkFilters refuses filters no call could be made with.
func checkFilters(asked map[string]string) []error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		if name == "" {
			errs = append(errs, fmt.Errorf("filters: there is a filter without a name"))
		}
		if _, err := filterValues(asked[name]); err != nil && !unknown(asked[name]) {
			errs = append(errs, fmt.Errorf("filters: %s: %q is no value, nor values separated by commas: %w", name, asked[name], err))
		}
	}
	return errs
}

// filterValues reads the values of one filter, which are a line of comma-separated values, as with amazon-ebs.
func filterValues(text string) ([]string, error) {
	r := csv.NewReader(strings.NewReader(text))
	r.TrimLeadingSpace, r.LazyQuotes = true, true
	return r.Read()
}
