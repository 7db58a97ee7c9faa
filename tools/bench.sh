#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# bench.sh [ARGUMENT...] - runs internal/bench on the lab; its arguments are bench's. Run it through `make bench`,
# which builds bin/ first.
set -eu

cd "$(dirname "$0")/.."
exec bin/bakery-lab run -- go run ./internal/bench "$@"
