#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# fresh.sh - fails when `make generate` or `go mod tidy` would change committed files, and shows the difference.
set -eu

cd "$(dirname "$0")/.."
tools/generate.sh
stale=$(git status --porcelain -- '*.hcl2spec.go' docs-partials .web-docs)
if [ -n "$stale" ]; then
	git --no-pager diff -- '*.hcl2spec.go' docs-partials .web-docs
	printf 'fresh.sh: these files are not up to date; run make generate and commit:\n%s\n' "$stale" >&2
	exit 1
fi
go mod tidy -diff
cd tools
go mod tidy -diff
