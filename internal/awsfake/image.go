// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package awsfake

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/amibakery/packer-plugin-bakery/internal/awscall"
	"github.com/amibakery/packer-plugin-bakery/internal/bake"
)

// Image is an image of the account.
type Image struct {
	Region, Name string
	Tags         map[string]string
	Snapshots    []string // their ids
	CreatedAt    time.Time
	Existing     bool     // it was there before the test began, and is available
	Protection   string   // from deregistration: "" or what EC2 says
	Attributes   []string // what was set since it was created, such as "LaunchPermission.Add.1.UserId=111111111111"
}

// earlierBake is the id of the bake that has made the images of AddImage.
const earlierBake = "00000000000000bb"

// CreatedImageID returns the id of the nth image that is created, from 1.
func CreatedImageID(n int) string {
	if n == 1 {
		return NewImageID
	}
	return fmt.Sprintf("ami-%017x", n)
}

// AddImage adds an image that an earlier bake has made, and its snapshot.
func (a *Account) AddImage(region, id, name string) *Image {
	snapshot := "snap-old-" + id
	image := &Image{
		Region: region, Name: name, Existing: true, Snapshots: []string{snapshot},
		Tags: map[string]string{bake.TagBake: earlierBake, bake.TagSelf: id},
	}
	a.Images[id] = image
	a.Snapshots[snapshot] = &Snapshot{
		Region: region, Existing: true, Description: "Created by CreateImage(i-0) for " + id,
		Tags: map[string]string{bake.TagBake: earlierBake},
	}
	return image
}

// ImageNames returns the images of the account as "region name", sorted.
func (a *Account) ImageNames() []string {
	var all []string
	for _, image := range a.Images {
		all = append(all, image.Region+" "+image.Name)
	}
	slices.Sort(all)
	return all
}

// ImageNamed returns the one image that has a name in a region.
func (a *Account) ImageNamed(region, name string) *Image {
	a.t.Helper()
	for _, image := range a.Images {
		if image.Region == region && image.Name == name {
			return image
		}
	}
	a.t.Fatalf("no image %q in %s, but %q", name, region, a.ImageNames())
	return nil
}

func (a *Account) actOnImages(q query) (answer string, failure *Failure, known bool) {
	switch q.action {
	case "DescribeRegions":
		var items []string
		for _, region := range append([]string{Region}, OtherRegions...) {
			items = append(items, value("regionName", region))
		}
		answer = list("regionInfo", items...)
	case "DescribeImages":
		answer, failure = a.describeImages(q)
	case "CreateImage", "CopyImage", "RegisterImage":
		answer, failure = a.createImage(q)
	case "DeregisterImage":
		answer, failure = success, a.deregister(q.region, q.get("ImageId"))
	case "DescribeSnapshots":
		answer = a.describeSnapshots(q)
	case "DeleteSnapshot":
		answer, failure = success, a.deleteSnapshot(q.region, q.get("SnapshotId"))
	default:
		return "", nil, false
	}
	return answer, failure, true
}

func (a *Account) createImage(q query) (string, *Failure) {
	name := q.get("Name")
	for _, image := range a.Images {
		if image.Name == name && image.Region == q.region {
			return "", badRequest(awscall.CodeImageNameTaken)
		}
	}
	a.createdImages++
	id := CreatedImageID(a.createdImages)
	image := &Image{Region: q.region, Name: name, Tags: Tags(q.form, "image"), CreatedAt: time.Now()}
	a.Images[id] = image
	given := q.get("BlockDeviceMapping.1.Ebs.SnapshotId")
	if q.action != "RegisterImage" {
		image.Snapshots = []string{a.createSnapshot(id, q)}
	}
	if given != "" {
		image.Snapshots = append(image.Snapshots, given)
	}
	return value("imageId", id), nil
}

func (a *Account) deregister(region, id string) *Failure {
	image, failure := a.imageIn(region, id)
	switch {
	case failure != nil:
		return failure
	case image.Protection != "":
		return badRequest(awscall.CodeNotPermitted)
	}
	delete(a.Images, id)
	return nil
}

func (a *Account) imageIn(region, id string) (*Image, *Failure) {
	if image := a.Images[id]; image != nil && image.Region == region {
		return image, nil
	}
	return nil, badRequest(awscall.CodeImageNotFound)
}

func (a *Account) describeImages(q query) (string, *Failure) {
	id := q.get("ImageId.1")
	switch {
	case q.get("Owner.1") == "self" && q.get("Owner.2") == "":
		return list("imagesSet", a.searchImages(q.region, q.get("Filter.1.Name"), q.get("Filter.1.Value.1"))...), nil
	case id == "" || id == SourceImageID:
		return list("imagesSet", a.sourceImage()), nil
	}
	image, failure := a.imageIn(q.region, id)
	if failure != nil {
		return "", failure
	}
	return list("imagesSet", a.imageXML(id, image)), nil
}

func (a *Account) searchImages(region, filter, wanted string) []string {
	var items []string
	for _, id := range slices.Sorted(maps.Keys(a.Images)) {
		image := a.Images[id]
		matches := filter == "name" && image.Name == wanted ||
			filter == "tag:"+bake.TagBake && image.Tags[bake.TagBake] == wanted
		if image.Region == region && matches {
			items = append(items, a.imageXML(id, image))
		}
	}
	return items
}

func (a *Account) sourceImage() string {
	return value("imageId", SourceImageID) + value("name", "debian-12") + value("imageState", "available") +
		value("architecture", "x86_64") + value("rootDeviceType", "ebs") + value("imageOwnerId", "136693071363") +
		value("creationDate", "2026-01-01T00:00:00.000Z") + a.SourceImageXML
}

func (a *Account) imageXML(id string, image *Image) string {
	state, protection := a.ImageFinalState, image.Protection
	switch {
	case image.Existing:
		state = "available"
	case time.Since(image.CreatedAt) < a.ImagePendingFor:
		state = "pending"
	}
	if a.ImagesHideProtection {
		protection = ""
	}
	var disks []string
	for _, snapshot := range image.Snapshots {
		if !a.ImagesHideSnapshots {
			disks = append(disks, value("deviceName", "/dev/xvda")+element("ebs", a.snapshotXML(snapshot)))
		}
	}
	return value("imageId", id) + value("name", image.Name) + value("imageState", state) +
		value("deregistrationProtection", protection) + tagSet(image.Tags) + list("blockDeviceMapping", disks...)
}
