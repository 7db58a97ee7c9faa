#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# Runs where packer runs, in a copy of the Image-Source, and may add files to fs/ and cloudinit/. The lines KEY=value
# that it prints go to vars.env. The same input must give the same bytes, so that an unchanged fs/ is not uploaded
# again. So this script writes a fixed pseudo-random sequence.
set -eu

mebibytes=${LARGE_MEBIBYTES:-16}
cd fs/opt/large
number=1
while [ "$number" -le "$mebibytes" ]; do
	# A linear congruential generator, whose output gzip can hardly compress.
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
