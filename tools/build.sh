#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# build.sh - builds the plugin, bakery-lab and the pinned packer into bin/, and installs the plugin into bin/plugins,
# which is the plugin path of the demo and the tests.
set -eu

cd "$(dirname "$0")/.."
name=packer-plugin-bakery
# Without cgo, build, vet and lint share one cache.
export CGO_ENABLED=0

# build PACKAGE TARGET
build() { go build -buildvcs=false -ldflags '-s -w' -o "$2" "$1"; }

build . "bin/$name"
build ./cmd/bakery-lab bin/bakery-lab
(cd tools && build github.com/hashicorp/packer ../bin/packer)

for installed in bin/plugins/*/*/*/"$name"_v*[0-9]; do
	! cmp -s "bin/$name" "$installed" || exit 0
done
rm -rf bin/plugins
# Packer must not contact its update server, nor use the plugins and settings of the person who runs this.
CHECKPOINT_DISABLE=1 PACKER_CONFIG_DIR=$PWD/bin PACKER_PLUGIN_PATH=$PWD/bin/plugins \
	bin/packer plugins install --path "bin/$name" github.com/amibakery/bakery >/dev/null
