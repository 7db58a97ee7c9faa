#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# generate.sh - regenerates the configuration decoders (*.hcl2spec.go), docs-partials/ and .web-docs/.
# packer-sdc's struct-markdown walks up for a folder named packer-plugin-* and never stops without one,
# so everything runs through a link of that name, wherever this checkout is.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
ln -s "$top" "$scratch/packer-plugin-bakery"
cd "$scratch/packer-plugin-bakery"

go build -C tools -o "$scratch/packer-sdc" github.com/hashicorp/packer-plugin-sdk/cmd/packer-sdc

timeout 300 go generate -run mapstructure-to-hcl2 ./builder/... ./datasource/... ./provisioner/... ./internal/...

# struct-markdown documents the structs of one file, which go generate names in GOFILE.
rm -rf docs-partials .docs
find builder datasource provisioner internal ! -path 'internal/e2e/*' \
	-name '*.go' ! -name '*_test.go' ! -name '*.hcl2spec.go' \
	-exec grep -l 'mapstructure:"' {} + | sort | while IFS= read -r file; do
	(cd "$(dirname "$file")" && GOFILE=$(basename "$file") timeout 60 "$scratch/packer-sdc" struct-markdown)
done
"$scratch/packer-sdc" renderdocs -src docs -partials docs-partials/ -dst .docs/

# .web-docs is what HashiCorp's integrations site reads: one README.md per component, no front matter,
# and no links into a folder that is not there.
rm -rf .web-docs/components
pages=https://github.com/amibakery/packer-plugin-bakery/blob/main/docs
plain() {
	awk 'NR == 1 && /^---$/ { front = 1; next } front && /^---$/ { front = 0; next } !front' "$1" |
		sed -e "s|](\.\./|]($pages/|g" -e "s|](\([a-z][a-z-]*/*[A-Za-z-]*\.mdx*\)|]($pages/\1|g"
}
# component KIND PAGE NAME
component() {
	mkdir -p ".web-docs/components/$1/$3"
	plain ".docs/$2" >".web-docs/components/$1/$3/README.md"
}
component builder builders/userdata.mdx userdata
component data-source datasources/image-source.mdx image-source
component provisioner provisioners/image-source.mdx image-source
plain .docs/README.md >.web-docs/README.md
