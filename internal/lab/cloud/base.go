// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package cloud

import (
	"cmp"
	"slices"
	"time"
)

// baseAMI is how a base image is published. Its id never changes, so that templates can name it.
type baseAMI struct {
	suite      string // its name in package baseimage: a Debian release, or what it is made like
	number     string // the end of its id
	version    string // of Debian
	name       string // of the AMI
	like       string // what Debian is made like
	arm64      bool   // whether it is for arm64, and not for x86_64
	publisher  publisher
	parameters []string // of SSM, which have its id
}

// publisher is an account that publishes AMIs.
type publisher struct{ account, alias string }

var (
	debian    = publisher{"136693071363", "amazon"}
	amazon    = publisher{"137112412989", "amazon"}
	canonical = publisher{"099720109477", "amazon"}
	redHat    = publisher{account: "309956199498"}
)

// base are the base images. Those that are like another distribution have the names, accounts and parameters under
// which templates look for it.
var base = []baseAMI{
	{suite: "bullseye", number: "0bace000000000011", version: "11"},
	{suite: "bookworm", number: "0bace000000000012", version: "12"},
	{suite: "trixie", number: "0bace000000000013", version: "13"},
	{suite: "forky", number: "0bace000000000014", version: "14"},
	{suite: "el", number: "0bace000000000112", version: "12", publisher: redHat, like: "Red Hat Enterprise Linux",
		name: "RHEL-9.6.0_HVM-20260101-x86_64-0-Hourly2-GP3"},
	{suite: "al2", number: "0bace000000000111", version: "11", publisher: amazon, like: "Amazon Linux 2",
		name:       "amzn2-ami-hvm-2.0.20260101.0-x86_64-gp2",
		parameters: []string{"/aws/service/ami-amazon-linux-latest/amzn2-ami-hvm-x86_64-gp2"}},
	{suite: "uutils", number: "0bace000000000114", version: "14", publisher: canonical, like: "Ubuntu 26.04",
		name:       "ubuntu/images/hvm-ssd-gp3/ubuntu-resolute-26.04-amd64-server-20260101",
		parameters: []string{"/aws/service/canonical/ubuntu/server/26.04/stable/current/amd64/hvm/ebs-gp3/ami-id"}},
	{suite: "fips", number: "0bace000000000212", version: "12", name: "fips-debian-12-amd64", like: "a FIPS image"},
	{suite: "xfs", number: "0bace000000000312", version: "12", name: "xfs-debian-12-amd64", like: "one with XFS"},
	{suite: "btrfs", number: "0bace000000000412", version: "12", name: "btrfs-debian-12-amd64", like: "one with btrfs"},
	{suite: "arm64", number: "0bace000000000512", version: "12", name: "debian-12-arm64-20260101-1234", arm64: true,
		parameters: []string{"/aws/service/debian/release/bookworm/latest/arm64",
			"/aws/service/debian/release/12/latest/arm64"}},
}

// Suites are the names of the base images.
var Suites = suites()

// ContainerSuites are the names of those that can be containers: their programs are for this computer's processor.
var ContainerSuites = slices.DeleteFunc(suites(), func(suite string) bool { return baseOf(suite).arm64 })

func suites() (all []string) {
	for _, b := range base {
		all = append(all, b.suite)
	}
	return all
}

// baseOf returns a base image by its name; an empty one when there is none.
func baseOf(suite string) baseAMI {
	i := slices.IndexFunc(base, func(b baseAMI) bool { return b.suite == suite })
	if i < 0 {
		return baseAMI{}
	}
	return base[i]
}

// DefaultRoot is the root device of the base images.
const DefaultRoot = "/dev/xvda"

// baseSize is the volume size of a base image in GiB, the same as in Debian's AMIs.
const baseSize = 8

// BaseImageID returns the id of a base image.
func BaseImageID(suite string) string { return "ami-" + baseOf(suite).number }

// BaseVersion returns the Debian version of a base image: "12" for bookworm.
func BaseVersion(suite string) string { return baseOf(suite).version }

// BaseParameters returns the names of the SSM parameters that have the id of a base image.
func BaseParameters(suite string) []string {
	b := baseOf(suite)
	if b.arm64 {
		return b.parameters
	}
	all := append([]string{"/aws/service/debian/release/" + suite + "/latest/amd64"}, b.parameters...)
	if b.like == "" {
		all = append(all, "/aws/service/debian/release/"+b.version+"/latest/amd64")
	}
	return all
}

func (b baseAMI) image() (Image, Snapshot) {
	created := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	by := cmp.Or(b.publisher, debian)
	about := "Debian " + b.version + " (" + b.suite + ") of bakery-lab"
	if b.like != "" {
		about = "Debian " + b.version + " of bakery-lab, made like " + b.like
	}
	snapshot := Snapshot{
		ID: "snap-" + b.number, Owner: by.account, OwnerAlias: by.alias, VolumeID: "vol-ffffffff", State: "completed",
		Size: baseSize, Started: created, Description: "Debian " + b.version, Public: true, Suite: b.suite,
	}
	architecture := "x86_64"
	if b.arm64 {
		architecture = "arm64"
	}
	image := Image{
		ID: "ami-" + b.number, Name: cmp.Or(b.name, "debian-"+b.version+"-amd64-20260101-1234"), Description: about,
		Owner: by.account, OwnerAlias: by.alias, State: "available", Architecture: architecture, Created: created,
		RootDevice: DefaultRoot, Public: true, ENA: true, SriovNet: "simple", BootMode: "uefi-preferred",
		Suite: b.suite,
		Devices: []ImageDevice{{Name: DefaultRoot, SnapshotID: snapshot.ID, Size: baseSize, Type: "gp3",
			DeleteOnTermination: true}},
	}
	return image, snapshot
}
