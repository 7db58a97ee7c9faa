// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// template is a launch template with one version. Its data are parameters of RunInstances.
type template struct {
	id, name, region string
	created          time.Time
	data             *Query
	tags             cloud.Tags
}

// Template is a launch template, for lists of the lab's resources.
type Template struct {
	ID, Name, Region string
	Created          time.Time
	Tags             cloud.Tags
}

// Templates returns the launch templates of all regions.
func (s *Server) Templates() []Template {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Template
	for _, t := range s.templates {
		all = append(all, Template{t.id, t.name, t.region, t.created, t.tags})
	}
	return all
}

type templateXML struct {
	ID      string  `xml:"launchTemplateId"`
	Name    string  `xml:"launchTemplateName"`
	Created string  `xml:"createTime"`
	Default int     `xml:"defaultVersionNumber"`
	Latest  int     `xml:"latestVersionNumber"`
	Tags    *tagSet `xml:"tagSet"`
}

func (t *template) xml() templateXML {
	return templateXML{t.id, t.name, stamp(t.created), 1, 1, tagged(t.tags)}
}

// template returns the launch template whose id or name is in a branch of a request. The caller holds s.mu.
func (s *Server) template(region string, q *Query) (*template, error) {
	id, name := q.String("LaunchTemplateId"), q.String("LaunchTemplateName")
	at := slices.IndexFunc(s.templates,
		func(t *template) bool { return t.region == region && (t.id == id || t.name == name) })
	if at < 0 && id != "" {
		return nil, apierror.Errorf("InvalidLaunchTemplateId.NotFound",
			"The specified launch template, with template ID %s, does not exist.", id)
	}
	if at < 0 {
		return nil, apierror.Errorf("InvalidLaunchTemplateName.NotFoundException",
			"The specified launch template, with template name %s, does not exist.", name)
	}
	return s.templates[at], nil
}

func createLaunchTemplate(s *Server, r *request) (any, error) {
	p := &reader{q: r.query}
	t := &template{
		id: cloud.NewID("lt-"), name: p.require("LaunchTemplateName"), region: r.region, created: time.Now(),
		data: r.query.At("LaunchTemplateData"), tags: p.tags("launch-template"),
	}
	if p.err != nil {
		return nil, p.err
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.ContainsFunc(s.templates,
		func(have *template) bool { return have.region == t.region && have.name == t.name }) {
		return nil, apierror.Errorf("InvalidLaunchTemplateName.AlreadyExistsException",
			"Launch template name already in use.")
	}
	s.templates = append(s.templates, t)
	return struct {
		Template templateXML `xml:"launchTemplate"`
	}{t.xml()}, nil
}

func deleteLaunchTemplate(s *Server, r *request) (any, error) {
	if err := dryRun(r); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err := s.template(r.region, r.query)
	if err != nil {
		return nil, err
	}
	s.templates = slices.DeleteFunc(s.templates, func(have *template) bool { return have == t })
	return struct {
		Template templateXML `xml:"launchTemplate"`
	}{t.xml()}, nil
}

func describeLaunchTemplates(s *Server, r *request) (any, error) {
	s.mu.Lock()
	all := slices.DeleteFunc(slices.Clone(s.templates), func(t *template) bool { return t.region != r.region })
	s.mu.Unlock()
	ids, names := r.query.Strings("LaunchTemplateId"), r.query.Strings("LaunchTemplateName")
	for _, id := range ids {
		if !slices.ContainsFunc(all, func(t *template) bool { return t.id == id }) {
			return nil, apierror.Errorf("InvalidLaunchTemplateId.NotFound",
				"The specified launch template, with template ID %s, does not exist.", id)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(all, func(t *template) bool { return t.name == name }) {
			return nil, apierror.Errorf("InvalidLaunchTemplateName.NotFoundException",
				"At least one of the launch templates specified in the request does not exist.")
		}
	}
	all = slices.DeleteFunc(all, func(t *template) bool {
		return len(ids)+len(names) > 0 && !slices.Contains(ids, t.id) && !slices.Contains(names, t.name)
	})
	all, next, err := filteredPage(r.query, all, func(t *template) fields {
		return fields{tags: t.tags, values: map[string][]string{
			"launch-template-name": {t.name}, "create-time": {stamp(t.created)},
		}}
	})
	if err != nil {
		return nil, err
	}
	var x struct {
		Items []templateXML `xml:"launchTemplates>item"`
		Next  string        `xml:"nextToken,omitempty"`
	}
	x.Next = next
	for _, t := range all {
		x.Items = append(x.Items, t.xml())
	}
	return x, nil
}

type fleetInstanceXML struct {
	Lifecycle string   `xml:"lifecycle"`
	IDs       []string `xml:"instanceIds>item"`
	Type      string   `xml:"instanceType"`
}

type fleetErrorXML struct {
	Code      string `xml:"errorCode"`
	Message   string `xml:"errorMessage"`
	Lifecycle string `xml:"lifecycle"`
}

type fleetXML struct {
	ID        string             `xml:"fleetId"`
	Errors    []fleetErrorXML    `xml:"errorSet>item"`
	Instances []fleetInstanceXML `xml:"fleetInstanceSet>item"`
}

// createFleet launches one instance at once; bakes need no more of a fleet.
func createFleet(s *Server, r *request) (any, error) {
	kind, size := r.query.String("Type"), r.query.String("TargetCapacitySpecification.TotalTargetCapacity")
	if kind != "instant" || size != "1" {
		return nil, apierror.Errorf("UnsupportedOperation",
			"The lab has fleets of the type instant with one instance only.")
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	x := fleetXML{ID: "fleet-" + requestID()}
	for _, configuration := range r.query.List("LaunchTemplateConfigs") {
		s.mu.Lock()
		t, err := s.template(r.region, configuration.At("LaunchTemplateSpecification"))
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
		for _, kind := range s.fleetTypes(r, configuration, t) {
			one, err := s.launchFrom(r, t, kind)
			if refused := (*apierror.Error)(nil); errors.As(err, &refused) {
				x.Errors = append(x.Errors, fleetErrorXML{refused.Code, refused.Message, "spot"})
				continue
			}
			if err != nil {
				return nil, err
			}
			x.Instances = append(x.Instances, fleetInstanceXML{"spot", []string{one.ID}, one.Type})
			return x, nil
		}
	}
	return x, nil
}

// fleetTypes returns the instance types of a fleet, in the order in which it tries them.
func (s *Server) fleetTypes(r *request, configuration *Query, t *template) []string {
	var all []string
	for _, o := range configuration.List("Overrides") {
		all = append(all, o.String("InstanceType"))
	}
	if len(all) == 0 {
		return []string{t.data.String("InstanceType")}
	}
	if cmp.Or(r.query.String("SpotOptions.AllocationStrategy"), "lowest-price") == "lowest-price" {
		slices.SortStableFunc(all, func(a, b string) int {
			x, _ := cloud.InstanceType(a)
			y, _ := cloud.InstanceType(b)
			return cmp.Compare(cloud.SpotPrice(x, ""), cloud.SpotPrice(y, ""))
		})
	}
	return all
}

// launchFrom is RunInstances with a template's data.
func (s *Server) launchFrom(r *request, t *template, instanceType string) (cloud.Instance, error) {
	data := &Query{children: maps.Clone(t.data.children)}
	for name, value := range map[string]string{"InstanceType": instanceType, "MinCount": "1", "MaxCount": "1"} {
		data.children[name] = &Query{value: value, set: true}
	}
	l, err := s.launch(&request{action: "RunInstances", region: r.region, query: data, server: s, context: r.context})
	if err != nil {
		return cloud.Instance{}, err
	}
	all, err := s.Cloud.Launch(l)
	if err != nil {
		return cloud.Instance{}, err
	}
	return all[0], nil
}
