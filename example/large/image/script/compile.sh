#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# Runs where packer runs, in a copy of the Image-Source, and may add to fs/ and cloudinit/. What it
# prints as KEY=value lines goes into vars.env. The same input must make the same bytes, so that an
# fs/ that has not changed is not uploaded again: this one repeats a fixed pseudo-random sequence.
set -eu

mebibytes=${LARGE_MEBIBYTES:-16}
cd fs/opt/large
number=1
while [ "$number" -le "$mebibytes" ]; do
	# A linear congruential generator: gzip finds little to save in it.
	awk -v seed="$number" 'BEGIN {
		for (i = 0; i < 131072; i++) {
			seed = (seed * 16807) % 2147483647
			printf "%07x\n", seed % 268435456
		}
	}' >"$(printf 'part-%04d' "$number")"
	number=$((number + 1))
done
sha256sum part-* >SHA256SUMS
echo "LARGE_PARTS=$mebibytes"
