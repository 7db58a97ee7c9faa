#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# release-files.sh - makes the files that goreleaser adds to a release: the licences of all linked modules
# (internal/notices, which fails when one is not allowed), and the program that writes the lists of modules (SBOM).
set -eu

cd "$(dirname "$0")/.."
mkdir -p bin/release
export CGO_ENABLED=0
go run ./internal/notices >bin/release/THIRD_PARTY
go build -C tools -o ../bin/release/cyclonedx-gomod github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
