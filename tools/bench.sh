#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# bench.sh [ARGUMENT...] - runs internal/bench on the lab, with these arguments. Run it with `make bench`, which builds
# bin/ first. `bench.sh peer`, which `make bench-peer` runs, uses a lab that is as slow as AWS.
set -eu

cd "$(dirname "$0")/.."
slow=''
[ "${1:-}" != peer ] || slow='--pending 8s --stopping 10s --image-pending 60s --terminating 20s'
# shellcheck disable=SC2086 # a list of words
exec bin/bakery-lab run $slow -- go run ./internal/bench "$@"
