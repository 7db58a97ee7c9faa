#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# release-check.sh - makes the release of linux/amd64 from the last commit twice, in two clones in folders with paths of
# different length, the second without Go's cache. It fails when a byte differs or a file is missing. It takes minutes,
# so the tests do not run it; the release workflow does. GORELEASER is the goreleaser to run, default goreleaser.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
goreleaser=${GORELEASER:-goreleaser}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# release REPOSITORY FOLDER - makes FOLDER/dist.
release() {
	git clone --quiet --no-hardlinks "$1" "$2"
	sed -e 's/goos: .*/goos: [linux]/' -e 's/goarch: .*/goarch: [amd64]/' "$top/.goreleaser.yml" >"$scratch/one.yml"
	(cd "$2" && "$goreleaser" release --snapshot --clean --skip=publish --config "$scratch/one.yml" \
		>"$scratch/log" 2>&1) || {
		cat "$scratch/log" >&2
		exit 1
	}
}

# sums FOLDER - prints the checksums of the published files.
sums() { (cd "$1/dist" && sha256sum -- *.zip *.json *SUMS); }

release "$top" "$scratch/one"
# Clone the first clone, because the repository may have a new commit by now.
GOCACHE="$scratch/cache" release "$scratch/one" "$scratch/another/place/altogether"
sums "$scratch/one" | grep -v -e artifacts.json -e metadata.json >"$scratch/first"
sums "$scratch/another/place/altogether" | grep -v -e artifacts.json -e metadata.json >"$scratch/second"
cat "$scratch/first"
diff "$scratch/first" "$scratch/second" || {
	echo 'release-check.sh: the second release differs' >&2
	exit 1
}
for name in LICENSE THIRD_PARTY; do
	unzip -l "$scratch"/one/dist/*_linux_amd64.zip | grep -q " $name\$" || {
		echo "release-check.sh: the archive has no $name" >&2
		exit 1
	}
done
echo 'release-check.sh: twice the same'
