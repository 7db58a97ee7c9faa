#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# build.sh - builds the real amazon-ebs, and the plugins of Puppet and Salt, of the versions that go.mod in this folder
# pins, into bin/peer/. It installs them together with this plugin into a separate plugin path, bin/peer/plugins, so that
# one packer finds all. Run `make build` first. It takes minutes the first time, seconds later.
set -eu

cd "$(dirname "$0")"
bin=${BAKERY_BIN:-$(cd ../.. && pwd)/bin}
amazon=$bin/peer/packer-plugin-amazon
CGO_ENABLED=0 go build -buildvcs=false -ldflags '-s -w' -o "$amazon" github.com/hashicorp/packer-plugin-amazon
for tool in puppet salt; do
	plugin=github.com/hashicorp/packer-plugin-$tool
	CGO_ENABLED=0 go build -buildvcs=false -ldflags "-s -w -X $plugin/version.VersionPrerelease=" \
		-o "$bin/peer/packer-plugin-$tool" "$plugin"
done

export CHECKPOINT_DISABLE=1 PACKER_CONFIG_DIR="$bin/peer" PACKER_PLUGIN_PATH="$bin/peer/plugins"

# install PROGRAM SOURCE - installs a plugin, unless the same program is already installed.
install() {
	set -- "$1" "$2" "$PACKER_PLUGIN_PATH/$2"
	for installed in "$3"/*_x*[0-9a-z]; do
		! cmp -s "$1" "$installed" || return 0
	done
	rm -rf "$3"
	"$bin/packer" plugins install --path "$1" "$2" >/dev/null
}

install "$amazon" github.com/hashicorp/amazon
install "$bin/peer/packer-plugin-puppet" github.com/hashicorp/puppet
install "$bin/peer/packer-plugin-salt" github.com/hashicorp/salt
install "$bin/packer-plugin-bakery" github.com/amibakery/bakery
