// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Command packer-plugin-bakery is the Packer plugin that bakes Amazon machine images through
// cloud-init user data alone. It registers the components, bounds its memory, and does nothing else.
package main

import (
	"fmt"
	"math"
	"os"
	"runtime/debug"

	"github.com/hashicorp/packer-plugin-sdk/plugin"

	"github.com/amibakery/packer-plugin-bakery/builder/userdata"
	datasource "github.com/amibakery/packer-plugin-bakery/datasource/imagesource"
	provisioner "github.com/amibakery/packer-plugin-bakery/provisioner/imagesource"
	"github.com/amibakery/packer-plugin-bakery/version"
)

// memoryLimit is what the garbage collector keeps the plugin's own memory below, in bytes. Packer runs a process for
// every build, so many at once should not keep garbage. What is in use at one time is 25 MiB on two processors and 35
// on many, while a large file is compressed or uploaded.
const memoryLimit = 48 << 20

func main() {
	if debug.SetMemoryLimit(-1) == math.MaxInt64 { // GOMEMLIMIT says nothing else
		debug.SetMemoryLimit(memoryLimit)
	}
	set := plugin.NewSet()
	set.SetVersion(version.PluginVersion)
	set.RegisterBuilder("userdata", new(userdata.Builder))
	set.RegisterDatasource("image-source", new(datasource.Datasource))
	set.RegisterProvisioner("image-source", new(provisioner.Provisioner))

	if err := set.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
