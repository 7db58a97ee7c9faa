// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// tagLimit is how many tags a resource may have
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html).
const tagLimit = 50

// Lengths of keys and values, in characters (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Tag.html).
const (
	maxTagKey   = 127
	maxTagValue = 256
)

// metadataTagKey is what the key of a tag may be that an instance reads in its metadata
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/work-with-tags-in-IMDS.html).
var metadataTagKey = regexp.MustCompile(`^[0-9a-zA-Z\-_+=,.@:]{1,255}$`)

// checkMetadataTags returns EC2's error for tags that cannot be in an instance's metadata.
func checkMetadataTags(t Tags) error {
	for _, k := range slices.Sorted(maps.Keys(t)) {
		if !metadataTagKey.MatchString(k) || k == "." || k == ".." || k == "_index" {
			return apierror.Errorf("InvalidParameterValue", "'%s' is not a valid tag key. Tag keys must match pattern "+
				`([0-9a-zA-Z\\-_+=,.@:]{1,255}), and must not be a reserved name ('.', '..', '_index')`, k)
		}
	}
	return nil
}

// CheckTags returns EC2's error for tags that it does not allow.
func CheckTags(t Tags) error {
	if len(t) > tagLimit {
		return apierror.Errorf("TagLimitExceeded", "More than %d tags specified", tagLimit)
	}
	for k, v := range t {
		switch {
		case k == "" || utf8.RuneCountInString(k) > maxTagKey:
			return apierror.Errorf("InvalidParameterValue",
				"Tag key exceeds the maximum length of %d characters or is empty: %q", maxTagKey, k)
		case utf8.RuneCountInString(v) > maxTagValue:
			return apierror.Errorf("InvalidParameterValue", "Tag value exceeds the maximum length of %d characters",
				maxTagValue)
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return apierror.Errorf("InvalidParameterValue",
				"Tag keys starting with 'aws:' are reserved for internal use")
		}
	}
	return nil
}

// Tag is CreateTags.
func (c *Cloud) Tag(region string, ids []string, tags Tags) error {
	if err := CheckTags(tags); err != nil {
		return err
	}
	return c.changeTags(region, ids, func(t *Tags) error {
		if *t == nil {
			*t = Tags{}
		}
		maps.Copy(*t, tags)
		return CheckTags(*t)
	})
}

// Untag is DeleteTags. A key with a nil value is deleted whatever its value is. Without keys, all tags are deleted.
func (c *Cloud) Untag(region string, ids []string, tags map[string]*string) error {
	return c.changeTags(region, ids, func(t *Tags) error {
		if len(tags) == 0 {
			*t = nil
		}
		for k, v := range tags {
			if v == nil || (*t)[k] == *v {
				delete(*t, k)
			}
		}
		return nil
	})
}

// TagsOf returns the tags of a resource, and whether it exists.
func (c *Cloud) TagsOf(region, id string) (Tags, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, err := c.findTags(region, id)
	if err != nil {
		return nil, false
	}
	return maps.Clone(*t), true
}

func (c *Cloud) changeTags(region string, ids []string, f func(*Tags) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids { // nothing is changed when one of them does not exist, or cannot have the tags
		t, err := c.findTags(region, id)
		if err != nil {
			return err
		}
		changed := maps.Clone(*t)
		if err := f(&changed); err != nil {
			return err
		}
		if err := c.checkTagsOf(id, changed); err != nil {
			return err
		}
	}
	for _, id := range ids {
		t, _ := c.findTags(region, id)
		_ = f(t) // which has just been tried
		if i := c.images[id]; i != nil {
			c.saveImage(i)
		}
		if s := c.snapshots[id]; s != nil {
			c.saveSnapshot(s)
		}
	}
	return nil
}

// checkTagsOf returns the error for tags that an instance cannot have, because it reads them in its metadata.
func (c *Cloud) checkTagsOf(id string, t Tags) error {
	at := slices.IndexFunc(c.instances, func(in *instance) bool { return in.ID == id })
	if at < 0 || c.instances[at].Metadata.Tags != "enabled" {
		return nil
	}
	return checkMetadataTags(t)
}

// findTags returns the tags of any resource.
func (c *Cloud) findTags(region, id string) (*Tags, error) {
	switch prefix, _, _ := strings.Cut(id, "-"); prefix {
	case "i":
		all, err := c.findInstances(region, []string{id})
		if err != nil {
			return nil, err
		}
		return &all[0].Tags, nil
	case "ami":
		i, err := c.image(region, id)
		if err != nil {
			return nil, err
		}
		return &i.Tags, nil
	case "snap":
		s, err := c.ownSnapshot(region, id)
		if err != nil {
			return nil, err
		}
		return &s.Tags, nil
	case "vol":
		if v := c.volumes[id]; v != nil {
			return &v.Tags, nil
		}
		return nil, kindVolume.missing(id)
	case "sg":
		if g := c.groups[id]; g != nil {
			return &g.Tags, nil
		}
		return nil, kindGroup.missing(id)
	}
	return c.findOtherTags(region, id)
}

// findOtherTags is findTags for resources that few clients tag.
func (c *Cloud) findOtherTags(region, id string) (*Tags, error) {
	for _, r := range c.spots {
		if r.ID == id && visibleIn(r.Region, region) {
			return &r.Tags, nil
		}
	}
	for _, in := range c.instances {
		if in.Interface == id && in.State != Terminated && visibleIn(in.Region, region) {
			return &in.InterfaceTags, nil
		}
	}
	for _, k := range c.keys {
		if k.ID == id && visibleIn(k.Region, region) {
			return &k.Tags, nil
		}
	}
	return nil, apierror.Errorf("InvalidID", "The ID '%s' is not valid", id)
}

// TagOf is an item of DescribeTags.
type TagOf struct{ Key, ID, Type, Value string }

// AllTags returns the tags of all resources of a region.
func (c *Cloud) AllTags(region string) []TagOf {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []TagOf
	add := func(id, kind, where string, t Tags) {
		if visibleIn(where, region) {
			for k, v := range t {
				all = append(all, TagOf{k, id, kind, v})
			}
		}
	}
	for _, in := range c.instances {
		add(in.ID, "instance", in.Region, in.Tags)
		if in.State != Terminated { // the interface has gone with the machine
			add(in.Interface, "network-interface", in.Region, in.InterfaceTags)
		}
	}
	for _, i := range sorted(c.images) {
		add(i.ID, "image", i.Region, i.Tags)
	}
	for _, s := range sorted(c.snapshots) {
		add(s.ID, "snapshot", s.Region, s.Tags)
	}
	for _, v := range sorted(c.volumes) {
		add(v.ID, "volume", v.Region, v.Tags)
	}
	for _, g := range sorted(c.groups) {
		add(g.ID, "security-group", g.Region, g.Tags)
	}
	for _, r := range c.spots {
		add(r.ID, "spot-instances-request", r.Region, r.Tags)
	}
	for _, k := range sorted(c.keys) {
		add(k.ID, "key-pair", k.Region, k.Tags)
	}
	return all
}
