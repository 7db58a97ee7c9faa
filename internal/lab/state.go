// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package lab

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// Resource is a resource that somebody has created in the lab, of any kind and in any region. Those that every lab has
// from the start are left out: the base images and their snapshots, the default security group, the instance profile.
type Resource struct {
	// Kind is instance, volume, snapshot, image, security-group, spot-request, key-pair, launch-template, role,
	// instance-profile, object, upload (a multipart upload that was not finished) or bucket.
	Kind   string            `json:"kind"`
	Region string            `json:"region,omitempty"` // of resources of EC2
	ID     string            `json:"id"`               // of objects and uploads: bucket/key
	Name   string            `json:"name,omitempty"`
	State  string            `json:"state,omitempty"`  // EC2's name of it
	Reason string            `json:"reason,omitempty"` // EC2's code, of instances, images and spot requests
	Owner  string            `json:"owner,omitempty"`  // of volumes the instance, of instances the spot request
	Size   int64             `json:"size,omitempty"`   // of objects, in bytes
	Made   time.Time         `json:"made,omitzero"`
	Tags   map[string]string `json:"tags,omitempty"`
	// Metadata are headers of an object's upload: metadata, encryption and those about its content.
	Metadata map[string]string `json:"metadata,omitempty"`
}

// Gone reports whether the resource is only listed for some time longer: a terminated instance, or a spot request that
// has ended.
func (r Resource) Gone() bool {
	switch r.Kind {
	case "instance":
		return r.State == string(cloud.Terminated)
	case "spot-request":
		return r.State == "closed" || r.State == "cancelled" || r.State == "failed"
	}
	return false
}

// String returns the resource for messages.
func (r Resource) String() string {
	words := slices.DeleteFunc([]string{r.Kind, r.ID, r.Name, r.Region, r.State},
		func(w string) bool { return w == "" })
	return strings.Join(words, " ")
}

// State returns all resources, by kind, region and id.
func (l *Lab) State() []Resource {
	all := slices.Concat(l.machines(), l.storage(), l.network(), l.identities(), l.objects())
	slices.SortStableFunc(all, func(a, b Resource) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Region, b.Region), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// Left returns all resources that are not gone, as text.
func (l *Lab) Left() []string {
	var left []string
	for _, r := range l.State() {
		if !r.Gone() {
			left = append(left, r.String())
		}
	}
	return left
}

func (l *Lab) machines() []Resource {
	var all []Resource
	instances, _ := l.cloud.Instances("", nil) // cannot fail without ids, here and below
	for _, i := range instances {
		all = append(all, Resource{
			Kind: "instance", Region: i.Region, ID: i.ID, State: string(i.State), Reason: i.Reason.Code,
			Owner: i.SpotRequest, Made: i.Created, Tags: i.Tags,
		})
	}
	requests, _ := l.cloud.SpotRequests("", nil)
	for _, r := range requests {
		all = append(all, Resource{Kind: "spot-request", Region: r.Region, ID: r.ID, State: r.State, Reason: r.Status,
			Made: r.Created, Tags: r.Tags})
	}
	for _, t := range l.ec2.Templates() {
		all = append(all, Resource{Kind: "launch-template", Region: t.Region, ID: t.ID, Name: t.Name, Made: t.Created,
			Tags: t.Tags})
	}
	return all
}

func (l *Lab) storage() []Resource {
	var all []Resource
	volumes, _ := l.cloud.Volumes("", nil)
	for _, v := range volumes {
		all = append(all, Resource{Kind: "volume", Region: v.Region, ID: v.ID, State: v.State, Owner: v.Instance,
			Made: v.Created, Tags: v.Tags})
	}
	snapshots, _ := l.cloud.Snapshots("", nil)
	for _, s := range snapshots {
		if s.Owner == cloud.Account {
			all = append(all, Resource{Kind: "snapshot", Region: s.Region, ID: s.ID, Name: s.Description,
				State: s.State, Made: s.Started, Tags: s.Tags})
		}
	}
	images, _ := l.cloud.Images("", nil)
	for _, i := range images {
		if i.Owner == cloud.Account {
			all = append(all, Resource{
				Kind: "image", Region: i.Region, ID: i.ID, Name: i.Name, State: i.State, Reason: i.Reason.Code,
				Made: i.Created, Tags: i.Tags,
			})
		}
	}
	return all
}

func (l *Lab) network() []Resource {
	var all []Resource
	groups, _ := l.cloud.SecurityGroups("", nil)
	for _, g := range groups {
		if g.ID != cloud.DefaultGroup {
			all = append(all, Resource{Kind: "security-group", Region: g.Region, ID: g.ID, Name: g.Name,
				Made: g.Created, Tags: g.Tags})
		}
	}
	keys, _ := l.cloud.KeyPairs("", nil)
	for _, k := range keys {
		all = append(all, Resource{Kind: "key-pair", Region: k.Region, ID: k.ID, Name: k.Name, Made: k.Created,
			Tags: k.Tags})
	}
	return all
}

func (l *Lab) identities() []Resource {
	var all []Resource
	for _, e := range l.iam.Entities() {
		if !e.Seeded {
			all = append(all, Resource{Kind: e.Kind, ID: e.Name, Made: e.Created, Tags: e.Tags})
		}
	}
	return all
}

func (l *Lab) objects() []Resource {
	var all []Resource
	for _, o := range l.s3.Contents() {
		if o.Kind != "bucket" || o.ID != Bucket && o.ID != ForeignBucket {
			all = append(all, Resource{Kind: o.Kind, ID: o.ID, Size: o.Size, Made: o.Modified, Tags: o.Tags,
				Metadata: o.Metadata})
		}
	}
	return all
}

func (l *Lab) serveState(w http.ResponseWriter) { writeList(w, l.State()) }
