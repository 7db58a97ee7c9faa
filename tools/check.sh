#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# check.sh - the checks to run after every change: vet, the linters on the packages and scripts that differ from the merge
# base with main (or from HEAD, where there is none), and the tests that need no machine, no root and no packer. Run it
# through `make check`.
set -eu

cd "$(dirname "$0")/.."
# Without cgo, build, vet and lint share one cache.
export CGO_ENABLED=0

base=HEAD
for branch in origin/main main; do
	if found=$(git merge-base HEAD "$branch" 2>/dev/null); then
		base=$found
		break
	fi
done
# changed PATTERN... - the files of these patterns that are not as in the base.
changed() {
	{
		git diff --name-only --diff-filter=d "$base" -- "$@"
		git ls-files --others --exclude-standard -- "$@"
	} | sort -u
}

go vet -tags peer,vm ./...

folders=$(changed '*.go' ':!*/testdata/*' ':!tools/*' | while IFS= read -r file; do
	echo "./$(dirname "$file")"
done | sort -u)
if [ -n "$folders" ]; then
	# shellcheck disable=SC2086 # a list of words
	go tool -modfile=tools/go.mod golangci-lint run $folders
fi
changed >"${list:=$(mktemp)}"
trap 'rm -f "$list"' EXIT
scripts=$(tools/shell-files.sh | grep -Fx -f "$list" || true)
if [ -n "$scripts" ] && command -v shellcheck >/dev/null; then
	# shellcheck disable=SC2086 # a list of words
	shellcheck $scripts
fi

# These bake, start machines, make file systems or run packer.
machines='/internal/(e2e|repotest|notices|lab|lab/(baseimage|disk|machine|qemu|sandbox))$'
# shellcheck disable=SC2046 # a list of words
go test $(go list ./... | grep -Ev "$machines")
