#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# as-root.sh COMMAND... - runs COMMAND as root, with sudo when the caller is not root. The lab mounts file systems and
# starts machines, which needs root. HOME is set to root's, so that root writes no files to the caller's caches. The
# caller's Go modules are still used.
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
