// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

package baseimage

import (
	"embed"
	"slices"
	"strings"

	"github.com/amibakery/packer-plugin-bakery/internal/lab/disk"
)

// variant is a base image: a suite of Debian, and what is different from a plain one.
type variant struct {
	name    string
	suite   string
	add     []string // packages
	leave   []string // packages that it does not have
	tweak   bool     // whether tweaks/NAME.sh changes it
	renders bool     // whether cloud-init writes the configuration of the machine's network
	disk    disk.FileSystem

	architecture string // dpkg's; this computer's when empty
}

// variants are the base images: Debian releases, oldest first, and then Debian made like something else.
var variants = []variant{
	{name: "bullseye", suite: "bullseye"},
	{name: "bookworm", suite: "bookworm"},
	{name: "trixie", suite: "trixie"},
	{name: "forky", suite: "forky"},
	{
		name: "el", suite: "bookworm", tweak: true, add: []string{"network-manager"}, leave: []string{"curl"},
		renders: true,
	},
	{name: "al2", suite: "bullseye", add: []string{"python2.7"}, tweak: true},
	{name: "uutils", suite: "forky", add: []string{"rust-coreutils", "sudo-rs"}, tweak: true},
	{name: "fips", suite: "bookworm", tweak: true},
	{name: "xfs", suite: "bookworm", disk: disk.XFS},
	{name: "btrfs", suite: "bookworm", disk: disk.Btrfs},
	{name: "arm64", suite: "bookworm", architecture: "arm64"},
}

// Names are the base images that can be built. Their cloud-init is 20.4 (bullseye, al2), 22.4 (bookworm, el, fips, xfs,
// btrfs, arm64), 25.1 (trixie), and what Debian testing has (forky, uutils).
var Names = names()

func names() (all []string) {
	for _, v := range variants {
		all = append(all, v.name)
	}
	return all
}

// isRelease reports whether a suite is Debian's; Ubuntu has other names.
func isRelease(suite string) bool {
	return slices.ContainsFunc(variants, func(v variant) bool { return v.suite == suite }) ||
		slices.Contains([]string{
			"buster", "duke", "sid", "unstable", "testing", "stable", "oldstable", "oldoldstable",
		}, suite)
}

// find returns a variant by its name.
func find(name string) (variant, bool) {
	i := slices.IndexFunc(variants, func(v variant) bool { return v.name == name })
	if i < 0 {
		return variant{}, false
	}
	return variants[i], true
}

// tweaks are scripts that run as root in the tree of an image, when its packages are installed. They say what they make
// the image like.
//
//go:embed tweaks/*.sh
var tweaks embed.FS

// script returns the tweak of a variant; "" when it has none.
func (v variant) script() string {
	if !v.tweak {
		return ""
	}
	text, err := tweaks.ReadFile("tweaks/" + v.name + ".sh")
	if err != nil {
		panic(err) // cannot happen: a test reads all
	}
	return string(text)
}

// packages returns the packages beyond minbase.
func (v variant) packages() []string {
	all := append(slices.Clone(packages), v.add...)
	if v.suite != "bullseye" {
		all = append(all, "usr-is-merged") // see mergedUsr
	}
	return slices.DeleteFunc(all, func(name string) bool { return slices.Contains(v.leave, name) })
}

// dpkgOptions returns those that only this variant has. Where QEMU runs the packages' scripts, those of locales and of
// ca-certificates take as long as all others together: they start programs for each locale and each certificate that
// there is. Without these files there are none.
func (v variant) dpkgOptions() []string {
	if v.architecture == "" {
		return nil
	}
	return []string{"path-exclude=/usr/share/i18n/SUPPORTED", "path-exclude=/usr/share/ca-certificates/*"}
}

// files returns the configuration files of the image.
func (v variant) files() map[string]string {
	all := map[string]string{}
	for name, text := range files {
		if v.renders {
			text = strings.Replace(text, networkIsSetUp, "", 1)
		}
		all[name] = text
	}
	return all
}
