// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"cmp"
	"slices"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/apierror"
)

// volumeType is what EBS has of a type of volume: its size in GiB, and what can be provisioned. See EbsBlockDevice in
// EC2's API reference and https://docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html.
type volumeType struct {
	least, most         int64
	leastIOPS, mostIOPS int64 // 0: IOPS cannot be provisioned
	needsIOPS           bool
	throughput          bool // can be provisioned
}

var volumeTypes = map[string]volumeType{
	"gp2":      {1, 16384, 0, 0, false, false},
	"gp3":      {1, 65536, 3000, 80000, false, true},
	"io1":      {4, 16384, 100, 64000, true, false},
	"io2":      {4, 65536, 100, 256000, true, false},
	"sc1":      {125, 16384, 0, 0, false, false},
	"st1":      {125, 16384, 0, 0, false, false},
	"standard": {1, 1024, 0, 0, false, false},
}

const (
	leastThroughput, mostThroughput = 125, 2000 // MiB/s, of gp3
	defaultIOPS                     = 3000      // of gp3
)

// iopsRatio is how many IOPS a GiB may have.
var iopsRatio = map[string]int64{"gp3": 500, "io1": 50, "io2": 1000}

// checkVolume returns EC2's error for a device whose volume cannot be made.
func checkVolume(d ImageDevice) error {
	if d.NoDevice || d.Virtual != "" {
		return nil
	}
	kind := cmp.Or(d.Type, "gp2")
	t, ok := volumeTypes[kind]
	switch {
	case !ok:
		return apierror.Errorf("InvalidParameterValue", "Value (%s) for parameter volumeType is invalid.", kind)
	case d.Size == 0 && d.SnapshotID == "":
		return apierror.Errorf("InvalidBlockDeviceMapping",
			"Either snapshot ID or volume size must be provided for: %s", d.Name)
	case d.Size < t.least:
		return apierror.Errorf("InvalidParameterValue", "Volume of %dGiB is too small; minimum is %dGiB.", d.Size,
			t.least)
	case d.Size > t.most:
		return apierror.Errorf("InvalidParameterValue", "Volume of %dGiB is too large; maximum is %dGiB.", d.Size,
			t.most)
	case d.IOPS != 0 && t.mostIOPS == 0:
		return unsupported("iops", kind)
	case d.Throughput != 0 && !t.throughput:
		return unsupported("throughput", kind)
	case d.IOPS == 0 && t.needsIOPS:
		return apierror.Errorf("InvalidParameterCombination", "The parameter iops must be specified for %s volumes.",
			kind)
	}
	return checkPerformance(d, kind, t)
}

func unsupported(parameter, kind string) error {
	return apierror.Errorf("InvalidParameterCombination", "The parameter %s is not supported for %s volumes.",
		parameter, kind)
}

// checkPerformance checks the numbers that are provisioned.
func checkPerformance(d ImageDevice, kind string, t volumeType) error {
	if d.IOPS != 0 && d.IOPS < t.leastIOPS {
		return apierror.Errorf("InvalidParameterValue", "Volume iops of %d is too low; minimum is %d.", d.IOPS,
			t.leastIOPS)
	}
	if d.IOPS > t.mostIOPS {
		return apierror.Errorf("InvalidParameterValue", "Volume iops of %d is too high; maximum is %d.", d.IOPS,
			t.mostIOPS)
	}
	if d.IOPS > max(t.leastIOPS, iopsRatio[kind]*d.Size) {
		return apierror.Errorf("InvalidParameterValue", "Iops to volume size ratio of %f is too high; maximum is %d",
			float64(d.IOPS)/float64(d.Size), iopsRatio[kind])
	}
	if d.Throughput == 0 {
		return nil
	}
	if d.Throughput < leastThroughput || d.Throughput > mostThroughput {
		return apierror.Errorf("InvalidParameterValue", "Volume throughput of %d MiB/s is not from %d to %d MiB/s.",
			d.Throughput, leastThroughput, mostThroughput)
	}
	if iops := cmp.Or(d.IOPS, defaultIOPS); d.Throughput*4 > iops {
		return apierror.Errorf("InvalidParameterValue", "Throughput (MiBps) to iops ratio of %f is too high; maximum "+
			"is 0.250000 MiBps per iops.", float64(d.Throughput)/float64(iops))
	}
	return nil
}

// checkImageDevices returns EC2's error for devices of CreateImage. Of a disk that the machine has, only its deletion
// on termination and its type can be changed.
func (c *Cloud) checkImageDevices(region string, in *instance, request []ImageDevice) error {
	for _, want := range request {
		at := slices.IndexFunc(in.Devices, func(d InstanceDevice) bool { return d.Name == want.Name })
		if want.NoDevice || want.Virtual != "" {
			continue
		}
		if at < 0 {
			if err := c.checkNewDevice(region, want); err != nil {
				return err
			}
			continue
		}
		v := c.volumes[in.Devices[at].VolumeID]
		switch {
		case want.Size != 0 && want.Size != v.Size:
			return apierror.Errorf("InvalidBlockDeviceMapping",
				"The volume size of device %s cannot be changed from %dGB to %dGB by CreateImage.", want.Name, v.Size,
				want.Size)
		case want.Encrypted && !v.Encrypted, want.KMSKey != "":
			return apierror.Errorf("InvalidBlockDeviceMapping",
				"the encrypted flag cannot be specified since device %s has a conflicting encryption setting",
				want.Name)
		case want.SnapshotID != "":
			return apierror.Errorf("InvalidBlockDeviceMapping",
				"A snapshot cannot be specified for device %s, which the instance has.", want.Name)
		}
	}
	return nil
}

// checkNewDevice checks a device that is not the image's or the machine's, and sets nothing.
func (c *Cloud) checkNewDevice(region string, d ImageDevice) error {
	if d.SnapshotID == "" {
		return checkVolume(d)
	}
	if err := kindSnapshot.check(d.SnapshotID); err != nil {
		return err
	}
	s := c.snapshots[d.SnapshotID]
	if s == nil || !visibleIn(s.Region, region) {
		return kindSnapshot.missing(d.SnapshotID)
	}
	if d.Size != 0 && d.Size < s.Size {
		return smallerThanSnapshot(d.Size, s.ID, s.Size)
	}
	d.Size = cmp.Or(d.Size, s.Size)
	return checkVolume(d)
}

func smallerThanSnapshot(size int64, snapshot string, least int64) error {
	return apierror.Errorf("InvalidBlockDeviceMapping",
		"Volume of size %dGB is smaller than snapshot '%s', expect size >= %dGB", size, snapshot, least)
}
