// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package botocore finds and reads botocore's service models, which awscli and the Debian package python3-botocore
// bring. Only tests may import it.
package botocore

import (
	"cmp"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Model is a service model: service-2.json.
type Model struct {
	Metadata struct {
		Protocol string `json:"protocol"`
	} `json:"metadata"`
	Operations map[string]struct {
		Input struct {
			Shape string `json:"shape"`
		} `json:"input"`
		HTTP struct {
			Method string `json:"method"`
			URI    string `json:"requestUri"` // with {Bucket} and {Key+}
		} `json:"http"`
	} `json:"operations"`
	Shapes map[string]*Shape `json:"shapes"`
}

// Shape is a type of a model.
type Shape struct {
	Type     string             `json:"type"`
	Members  map[string]*Member `json:"members"`
	Required []string           `json:"required"`
	Member   *Member            `json:"member"`
	Value    *Member            `json:"value"` // of a map
	Enum     []string           `json:"enum"`
	Min      *float64           `json:"min"`
	Max      *float64           `json:"max"`
	Pattern  string             `json:"pattern"`
}

// Member is a use of a shape.
type Member struct {
	Shape         string `json:"shape"`
	LocationName  string `json:"locationName"`
	QueryName     string `json:"queryName"`
	Location      string `json:"location"`
	Documentation string `json:"documentation"`
}

// places are patterns of the folders with models. BOTOCORE_DATA names another one.
var places = []string{
	"/usr/lib/python3/dist-packages/awscli/botocore/data", "/usr/lib/python3/dist-packages/botocore/data",
	"/usr/local/lib/python3*/*-packages/botocore/data", "/usr/local/aws-cli/v2/current/dist/awscli/botocore/data",
}

// Dirs returns the folders with models on this computer.
func Dirs() []string {
	if dir := os.Getenv("BOTOCORE_DATA"); dir != "" {
		return []string{dir}
	}
	var all []string
	for _, pattern := range places {
		found, _ := filepath.Glob(pattern) // no pattern is malformed
		all = append(all, found...)
	}
	return all
}

// Version returns the version of the botocore whose folder of models it is; "" when it does not say.
func Version(dir string) string {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "__init__.py"))
	if err != nil {
		return ""
	}
	found := versionLine.FindStringSubmatch(string(text))
	if found == nil {
		return ""
	}
	return found[1]
}

var versionLine = regexp.MustCompile(`(?m)^__version__ = '([^']*)'`)

// Read reads the newest model of a service.
func Read(dir, service string) (*Model, error) {
	all, err := filepath.Glob(filepath.Join(dir, service, "*", "service-2.json*"))
	if err != nil || len(all) == 0 {
		return nil, fmt.Errorf("%s has no model of %s: %w", dir, service, cmp.Or(err, os.ErrNotExist))
	}
	path := slices.Max(all) // the folders are dates
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var in io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	m := &Model{}
	if err := json.NewDecoder(in).Decode(m); err != nil {
		return nil, errors.Join(fmt.Errorf("read %s", path), err)
	}
	return m, nil
}

// NameIn returns the name that a member has in requests of a protocol: ec2, query, json or rest-xml. Members of a
// rest-xml structure that are not in a header or in the URL have none here.
func (m *Member) NameIn(protocol, member string) string {
	switch protocol {
	case "ec2":
		name := cmp.Or(m.QueryName, m.LocationName, member)
		return strings.ToUpper(name[:1]) + name[1:]
	case "rest-xml":
		switch m.Location {
		case "header", "querystring":
			return m.LocationName
		}
		return ""
	}
	return cmp.Or(m.LocationName, member)
}

// Filters returns the names of the filters that the documentation of a list lists: tag:<key> among them.
func (m *Model) Filters(action string) []string {
	in := m.Shapes[m.Operations[action].Input.Shape]
	if in == nil || in.Members["Filters"] == nil {
		return nil
	}
	var all []string
	for _, found := range filterItem.FindAllStringSubmatch(in.Members["Filters"].Documentation, -1) {
		name := found[1]
		if name == "tag" || strings.HasPrefix(name, "tag:") {
			name = "tag:<key>"
		}
		all = append(all, name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

var filterItem = regexp.MustCompile(`<li>\s*(?:<p>)?\s*<code>([^<]+(?:<[^/][^>]*>)?)</code>(?:: ?[^ ]+)?\s*[-–—]`)

// Newer reports whether a version such as 1.43.11 is newer than another.
func Newer(a, b string) bool {
	numbers := func(v string) []int {
		var all []int
		for part := range strings.SplitSeq(v, ".") {
			n, _ := strconv.Atoi(part)
			all = append(all, n)
		}
		return all
	}
	return slices.Compare(numbers(a), numbers(b)) > 0
}
