// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// account is everything in the account of the lab, in all regions, apart from what every lab starts with.
type account struct {
	images   map[string]seenImage // by id
	others   []string             // the ids or names of everything that is neither an image nor a snapshot of one
	machines int                  // that were ever launched
}

// seenImage is an image of the account's own, and where it is.
type seenImage struct {
	region, name, state string
	snapshots           []string
}

// account lists what is in the account.
func (q *quickLab) account(t *testing.T) account {
	t.Helper()
	a := account{images: map[string]seenImage{}}
	state := q.State()
	var used, machines []string
	for _, r := range state {
		switch r.Kind {
		case "instance":
			a.machines++
			if !r.Gone() && r.State != "shutting-down" {
				machines = append(machines, r.ID)
			}
		case "image":
			seen := seenImage{region: r.Region, name: r.Name, state: r.State,
				snapshots: q.snapshotsOf(t, r.Region, r.ID)}
			a.images[r.ID], used = seen, append(used, seen.snapshots...)
		}
	}
	for _, r := range state {
		switch {
		case r.Gone(), r.Kind == "instance", r.Kind == "image", r.Kind == "bucket":
		case r.Kind == "snapshot" && slices.Contains(used, r.ID):
		case r.Kind == "volume" && slices.Contains(machines, r.Owner): // no more than the machine
		case r.Kind == "object", r.Kind == "upload", r.Kind == "version", r.Kind == "marker":
			_, key, _ := strings.Cut(r.ID, "/")
			key, _, _ = strings.Cut(key, "?versionId=")
			a.others = append(a.others, key)
		default:
			a.others = append(a.others, r.ID)
		}
	}
	a.others = append(a.others, machines...)
	slices.Sort(a.others)
	a.others = slices.Compact(a.others)
	return a
}

func (q *quickLab) snapshotsOf(t *testing.T, region, id string) []string {
	t.Helper()
	out, err := ec2.NewFromConfig(q.sdk(region)).DescribeImages(t.Context(),
		&ec2.DescribeImagesInput{ImageIds: []string{id}})
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, d := range out.Images[0].BlockDeviceMappings {
		if d.Ebs != nil {
			ids = append(ids, aws.ToString(d.Ebs.SnapshotId))
		}
	}
	return ids
}

// since returns what is in the account and was not there before.
func (a account) since(before account) account {
	images := maps.Clone(a.images)
	for id := range before.images {
		delete(images, id)
	}
	others := slices.DeleteFunc(slices.Clone(a.others),
		func(what string) bool { return slices.Contains(before.others, what) })
	return account{images, others, a.machines - before.machines}
}

func (a account) String() string {
	var all []string
	for _, id := range slices.Sorted(maps.Keys(a.images)) {
		i := a.images[id]
		all = append(all, fmt.Sprintf("%s %q in %s, %s", id, i.name, i.region, i.state))
	}
	return fmt.Sprintf("%d machines were launched; there are %s", a.machines,
		strings.Join(append(all, a.others...), "; "))
}
