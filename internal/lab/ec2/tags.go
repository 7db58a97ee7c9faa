// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"cmp"
	"slices"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

func createTags(s *Server, r *request) (any, error) {
	tags, err := r.query.Tags("Tag")
	if err != nil {
		return nil, err
	}
	ids := r.query.Strings("ResourceId")
	if len(ids) == 0 || len(tags) == 0 {
		return nil, missing("ResourceId or Tag")
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	return ok, s.Cloud.Tag(r.region, ids, tags)
}

func deleteTags(s *Server, r *request) (any, error) {
	tags := map[string]*string{}
	for _, t := range r.query.List("Tag") {
		tags[t.String("Key")] = nil
		if v := t.String("Value"); t.Has("Value") {
			tags[t.String("Key")] = &v
		}
	}
	if err := dryRun(r); err != nil {
		return nil, err
	}
	return ok, s.Cloud.Untag(r.region, r.query.Strings("ResourceId"), tags)
}

func describeTags(s *Server, r *request) (any, error) {
	all, err := filtered(r.query, s.Cloud.AllTags(r.region), func(t cloud.TagOf) fields {
		return fields{tags: cloud.Tags{t.Key: t.Value}, values: map[string][]string{
			"key": {t.Key}, "resource-id": {t.ID}, "resource-type": {t.Type}, "value": {t.Value},
		}}
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, compareTags)
	all, next, err := page(r.query, all)
	if err != nil {
		return nil, err
	}
	type item struct {
		ID    string `xml:"resourceId"`
		Type  string `xml:"resourceType"`
		Key   string `xml:"key"`
		Value string `xml:"value"`
	}
	var x struct {
		Items []item `xml:"tagSet>item"`
		Next  string `xml:"nextToken,omitempty"`
	}
	x.Next = next
	for _, t := range all {
		x.Items = append(x.Items, item{t.ID, t.Type, t.Key, t.Value})
	}
	return x, nil
}

func compareTags(a, b cloud.TagOf) int {
	return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Key, b.Key))
}
