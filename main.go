// Copyright (c) The packer-plugin-bakery authors
// SPDX-License-Identifier: MPL-2.0

// Command packer-plugin-bakery is the Packer plugin that bakes Amazon machine images through
// cloud-init user data alone. It registers the components and does nothing else.
package main

import (
	"fmt"
	"os"

	"github.com/hashicorp/packer-plugin-sdk/plugin"

	"github.com/amibakery/packer-plugin-bakery/builder/userdata"
	datasource "github.com/amibakery/packer-plugin-bakery/datasource/imagesource"
	provisioner "github.com/amibakery/packer-plugin-bakery/provisioner/imagesource"
	"github.com/amibakery/packer-plugin-bakery/version"
)

func main() {
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
