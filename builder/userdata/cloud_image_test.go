// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package userdata

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// fakeImage is an image of the account. The old ones are there before the bake.
type fakeImage struct {
	region, name string
	tags         map[string]string
	snapshots    []string
	made         time.Time
	old          bool
	protection   string
	set          []string // what was said of it since it was made, such as "launch 111111111111"
}

type fakeSnapshot struct {
	region    string
	tags      map[string]string
	encrypted bool
	key       string
	set       []string
}

// oldImage is an image that has a name before the bake begins.
func (c *cloud) oldImage(region, id, name string) *fakeImage {
	i := &fakeImage{region: region, name: name, old: true, snapshots: []string{"snap-old-" + id}}
	c.images[id] = i
	c.snapshots["snap-old-"+id] = &fakeSnapshot{region: region}
	return i
}

// named are the images of the account, as region and name.
func (c *cloud) named() []string {
	var all []string
	for _, i := range c.images {
		all = append(all, i.region+" "+i.name)
	}
	slices.Sort(all)
	return all
}

// regionOf reads the region out of the host that an SDK client calls.
func regionOf(r *http.Request) string {
	region := strings.TrimPrefix(r.URL.Host, "ec2.")
	return strings.TrimSuffix(region, ".amazonaws.com")
}

func (c *cloud) actOnImage(action, region string, form url.Values) (answer string, f *failure, done bool) {
	const yes = "<return>true</return>"
	switch action {
	case "DescribeRegions":
		return "<regionInfo><item><regionName>us-east-1</regionName></item><item><regionName>eu-west-1</regionName></item>" +
			"<item><regionName>ap-south-1</regionName></item></regionInfo>", nil, true
	case "DescribeImages":
		answer, f = c.describeImages(region, form)
	case "DescribeSnapshots":
		answer = c.describeSnapshots(region, form)
	case "CreateImage", "CopyImage", "RegisterImage":
		answer, f = c.makeImage(action, region, form)
	case "DeregisterImage":
		answer, f = yes, c.deregister(region, form.Get("ImageId"))
	case "DeleteSnapshot":
		answer, f = yes, c.deleteSnapshot(region, form.Get("SnapshotId"))
	case "ModifyInstanceAttribute":
		answer = yes
	case "DescribeTags":
		answer = "<tagSet/>" // nothing was left
	case "DeleteTags":
		c.untag(form)
		answer = yes
	case "ModifySnapshotAttribute":
		s := c.snapshots[form.Get("SnapshotId")]
		s.set, answer = append(s.set, said(form, "CreateVolumePermission.Add.")...), yes
	case "ModifyImageAttribute", "EnableImageDeprecation", "EnableImageDeregistrationProtection", "DisableImageDeregistrationProtection":
		answer, f = c.changeImage(action, region, form)
	default:
		return "", nil, false
	}
	return answer, f, true
}

func (c *cloud) found(region, id string) (*fakeImage, *failure) {
	if i := c.images[id]; i != nil && i.region == region {
		return i, nil
	}
	return nil, &failure{400, codeImageNotFound}
}

func (c *cloud) changeImage(action, region string, form url.Values) (string, *failure) {
	i, f := c.found(region, form.Get("ImageId"))
	if f != nil {
		return "", f
	}
	switch action {
	case "EnableImageDeregistrationProtection":
		i.protection = "enabled"
	case "DisableImageDeregistrationProtection":
		i.protection = ""
	}
	i.set = append(i.set, said(form, "LaunchPermission.Add.", "ProductCode.", "ImdsSupport.", "DeprecateAt", "WithCooldown")...)
	return "<return>true</return>", nil
}

func (c *cloud) untag(form url.Values) {
	for _, id := range ids(form, "ResourceId.") {
		switch {
		case c.images[id] != nil:
			delete(c.images[id].tags, form.Get("Tag.1.Key"))
		case c.snapshots[id] != nil:
			delete(c.snapshots[id].tags, form.Get("Tag.1.Key"))
		default:
			c.t.Errorf("tags were taken off %s, which is not there", id)
		}
	}
}

// ids are those a request lists.
func ids(form url.Values, prefix string) []string {
	var all []string
	for _, text := range said(form, prefix) {
		_, id, _ := strings.Cut(text, "=")
		all = append(all, id)
	}
	return all
}

// said is what a request says, of the parameters that begin with one of the names.
func said(form url.Values, names ...string) []string {
	var all []string
	for _, key := range slices.Sorted(maps.Keys(form)) {
		if slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(key, name) }) {
			all = append(all, key+"="+form.Get(key))
		}
	}
	return all
}

func (c *cloud) deregister(region, id string) *failure {
	i, f := c.found(region, id)
	switch {
	case f != nil:
		return f
	case i.protection != "":
		return &failure{400, codeNotPermitted}
	}
	delete(c.images, id)
	return nil
}

func (c *cloud) deleteSnapshot(region, id string) *failure {
	for _, i := range c.images {
		if slices.Contains(i.snapshots, id) {
			return &failure{400, codeSnapshotInUse}
		}
	}
	if s := c.snapshots[id]; s == nil || s.region != region {
		return &failure{400, codeSnapshotNotFound}
	}
	delete(c.snapshots, id)
	return nil
}

func (c *cloud) makeImage(action, region string, form url.Values) (string, *failure) {
	name := form.Get("Name")
	for _, i := range c.images {
		if i.name == name && i.region == region {
			return "", &failure{400, codeImageNameTaken}
		}
	}
	id := newID
	if c.ids++; c.ids > 1 {
		id = fmt.Sprintf("ami-%017x", c.ids)
	}
	i := &fakeImage{region: region, name: name, tags: tagsOf(form, "image"), made: time.Now()}
	c.images[id] = i
	switch action {
	case "RegisterImage":
		i.snapshots = []string{form.Get("BlockDeviceMapping.1.Ebs.SnapshotId")}
	default:
		i.snapshots = []string{"snap-of-" + id}
		c.snapshots["snap-of-"+id] = &fakeSnapshot{
			region: region, tags: tagsOf(form, "snapshot"), encrypted: form.Get("Encrypted") == "true", key: form.Get("KmsKeyId"),
		}
		if given := form.Get("BlockDeviceMapping.1.Ebs.SnapshotId"); given != "" {
			i.snapshots = append(i.snapshots, given)
		}
	}
	return "<imageId>" + id + "</imageId>", nil
}

func (c *cloud) describeImages(region string, form url.Values) (string, *failure) {
	id := form.Get("ImageId.1")
	switch {
	case form.Get("Owner.1") == "self" && form.Get("Owner.2") == "":
		return "<imagesSet>" + c.selected(region, form.Get("Filter.1.Name"), form.Get("Filter.1.Value.1")) + "</imagesSet>", nil
	case id == "" || id == sourceID:
		return "<imagesSet><item><imageId>" + sourceID + "</imageId><name>debian-12</name><imageState>available</imageState>" +
			"<architecture>x86_64</architecture><rootDeviceType>ebs</rootDeviceType><imageOwnerId>136693071363</imageOwnerId>" +
			"<creationDate>2026-01-01T00:00:00.000Z</creationDate>" + c.sourceImage + "</item></imagesSet>", nil
	}
	i, f := c.found(region, id)
	if f != nil {
		return "", f
	}
	return "<imagesSet>" + c.imageItem(id, i) + "</imagesSet>", nil
}

func (c *cloud) selected(region, by, value string) string {
	var items string
	for _, id := range slices.Sorted(maps.Keys(c.images)) {
		i := c.images[id]
		if i.region == region && (by == "name" && i.name == value || by == "tag:"+tagBake && i.tags[tagBake] == value) {
			items += c.imageItem(id, i)
		}
	}
	return items
}

func (c *cloud) imageItem(id string, i *fakeImage) string {
	state := "available"
	if !i.old {
		if state = c.imageEnd; time.Since(i.made) < c.pending {
			state = "pending"
		}
	}
	protection := i.protection
	if c.shyOfProtection {
		protection = ""
	}
	item := "<item><imageId>" + id + "</imageId><name>" + i.name + "</name><imageState>" + state + "</imageState>" +
		"<deregistrationProtection>" + protection + "</deregistrationProtection>" + tagSet(i.tags) + "<blockDeviceMapping>"
	for _, s := range i.snapshots {
		if c.hideSnapshots {
			break
		}
		item += fmt.Sprintf("<item><deviceName>/dev/xvda</deviceName><ebs><snapshotId>%s</snapshotId><encrypted>%v</encrypted></ebs></item>",
			s, c.snapshots[s] != nil && c.snapshots[s].encrypted)
	}
	return item + "</blockDeviceMapping></item>"
}

func tagSet(tags map[string]string) string {
	var items string
	for key, value := range tags {
		items += "<item><key>" + key + "</key><value>" + value + "</value></item>"
	}
	return "<tagSet>" + items + "</tagSet>"
}

func (c *cloud) describeSnapshots(region string, form url.Values) string {
	var items string
	ids := said(form, "SnapshotId.")
	for id, s := range c.snapshots {
		asked := slices.ContainsFunc(ids, func(text string) bool { return strings.HasSuffix(text, "="+id) })
		if s.region == region && (asked || len(ids) == 0 && s.tags[tagBake] == form.Get("Filter.1.Value.1")) {
			items += fmt.Sprintf("<item><snapshotId>%s</snapshotId><encrypted>%v</encrypted><kmsKeyId>%s</kmsKeyId></item>", id, s.encrypted, s.key)
		}
	}
	return "<snapshotSet>" + items + "</snapshotSet>"
}

// madeImages are the images and snapshots that were not there before.
func (c *cloud) madeImages() []string {
	var ids []string
	for id, i := range c.images {
		if !i.old {
			ids = append(ids, id)
		}
	}
	for id := range c.snapshots {
		if !strings.HasPrefix(id, "snap-old-") {
			ids = append(ids, id)
		}
	}
	return ids
}

func tagsOf(form map[string][]string, resource string) map[string]string {
	tags := map[string]string{}
	for name, values := range form {
		prefix, isType := strings.CutSuffix(name, ".ResourceType")
		if !isType || values[0] != resource {
			continue
		}
		for key, k := range form {
			if strings.HasPrefix(key, prefix+".Tag.") && strings.HasSuffix(key, ".Key") {
				tags[k[0]] = form[strings.TrimSuffix(key, ".Key")+".Value"][0]
			}
		}
	}
	return tags
}
