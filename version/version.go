// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Package version says which release this is. The release build sets Version and clears
// VersionPrerelease through -ldflags; every other build is a development build, the only kind of
// pre-release that packer loads.
package version

import "github.com/hashicorp/packer-plugin-sdk/version"

var (
	// Version is the release, as major.minor.patch.
	Version = "0.1.0"

	// VersionPrerelease is "dev" in between releases and empty in a release.
	VersionPrerelease = "dev"

	// PluginVersion is what `packer-plugin-bakery describe` reports.
	PluginVersion = version.NewPluginVersion(Version, VersionPrerelease, "")
)
