#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# as-root.sh COMMAND... - runs COMMAND as root, through sudo where the caller is not.
# The lab mounts file systems and starts machines, which takes root. HOME becomes root's, so that
# nothing owned by root is left in the caller's caches; the caller's Go modules are still found.
set -eu

[ "$(id -u)" -ne 0 ] || exec "$@"
if ! command -v sudo >/dev/null; then
	echo "as-root.sh: the lab needs root: run make as root, or install sudo" >&2
	exit 1
fi
if modules=$(go env GOMODCACHE 2>/dev/null); then
	exec sudo -E -H env "PATH=$PATH" "GOMODCACHE=$modules" "$@"
fi
exec sudo -E -H env "PATH=$PATH" "$@"
