// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package ec2

import (
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
	"github.com/amibakery/packer-plugin-bakery/internal/lab/cloud"
)

// reader reads parameters and stores the first error.
type reader struct {
	q   *Query
	err error
}

func recordError[T any](r *reader, value T, err error) T {
	if r.err == nil {
		r.err = err
	}
	return value
}

func (r *reader) require(name string) string {
	v, err := r.q.Require(name)
	return recordError(r, v, err)
}

func (r *reader) bool(name string) bool {
	v, err := r.q.True(name)
	return recordError(r, v, err)
}

// optional reads a boolean; nil when there is no such parameter.
func (r *reader) optional(name string) *bool {
	v, err := r.q.Bool(name)
	return recordError(r, v, err)
}

// isFalse reports whether there is such a parameter and it is false.
func (r *reader) isFalse(name string) bool {
	v, err := r.q.Bool(name)
	return recordError(r, v != nil && !*v, err)
}

func (r *reader) int(name string, otherwise int64) int64 {
	v, err := r.q.Int(name, otherwise)
	return recordError(r, v, err)
}

func (r *reader) base64(name string) []byte {
	v, err := r.q.Base64(name)
	return recordError(r, v, err)
}

func (r *reader) tags(resource string) cloud.Tags {
	v, err := r.q.TagsFor(resource)
	return recordError(r, v, err)
}

// description reads the Description of an image or a snapshot.
func (r *reader) description() string {
	text := r.q.String("Description")
	return recordError(r, text, checkDescription(text))
}

// devices reads BlockDeviceMapping.
func (r *reader) devices() []cloud.ImageDevice {
	var all []cloud.ImageDevice
	for _, m := range r.q.List("BlockDeviceMapping") {
		all = append(all, r.device(m))
	}
	return all
}

func (r *reader) device(m *Query) cloud.ImageDevice {
	in := &reader{q: m}
	d := cloud.ImageDevice{
		Name: in.require("DeviceName"), Virtual: m.String("VirtualName"), NoDevice: m.Has("NoDevice"),
		SnapshotID: m.String("Ebs.SnapshotId"), Type: m.String("Ebs.VolumeType"), KMSKey: m.String("Ebs.KmsKeyId"),
		Size: in.int("Ebs.VolumeSize", 0), IOPS: in.int("Ebs.Iops", 0), Throughput: in.int("Ebs.Throughput", 0),
		Encrypted: in.bool("Ebs.Encrypted"), DeleteOnTermination: true,
	}
	if m.Has("Ebs.DeleteOnTermination") {
		d.DeleteOnTermination = in.bool("Ebs.DeleteOnTermination")
	}
	if !strings.HasPrefix(d.Name, "/dev/") && !strings.HasPrefix(d.Name, "xvd") && in.err == nil {
		in.err = apierror.Errorf("InvalidBlockDeviceMapping", "Invalid device name %s", d.Name)
	}
	return recordError(r, d, in.err)
}

func (r *reader) metadata(prefix string) cloud.MetadataOptions {
	m := cloud.MetadataOptions{
		Tokens:   r.oneOf(prefix+"HttpTokens", "optional", "required"),
		Endpoint: r.oneOf(prefix+"HttpEndpoint", "enabled", "disabled"),
		HopLimit: int(r.int(prefix+"HttpPutResponseHopLimit", 0)),
		Tags:     r.oneOf(prefix+"InstanceMetadataTags", "enabled", "disabled"),
	}
	if m.HopLimit < 0 || m.HopLimit > 64 {
		return recordError(r, m, apierror.Errorf("InvalidParameterValue",
			"Value (%d) for parameter HttpPutResponseHopLimit is invalid.", m.HopLimit))
	}
	return m
}

// oneOf reads a parameter that must be one of these words, if there is one.
func (r *reader) oneOf(name string, words ...string) string {
	v := r.q.String(name)
	if v == "" || slices.Contains(words, v) {
		return v
	}
	return recordError(r, "",
		error(apierror.Errorf("InvalidParameterValue", "Invalid value '%s' for %s. Expected one of: %v", v, name,
			words)))
}
