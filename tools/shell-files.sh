#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# shell-files.sh - lists all shell scripts of the repository, which it finds by their first line, one per line. It
# leaves out testdata, because some tests need broken scripts.
set -eu

cd "$(dirname "$0")/.."
git ls-files --cached --others --exclude-standard | while IFS= read -r file; do
	case $file in */testdata/*) continue ;; esac
	[ -f "$file" ] || continue
	read -r line <"$file" 2>/dev/null || continue
	case $line in
	'#!/bin/sh'* | '#!/bin/bash'* | '#!/usr/bin/env bash'* | '#!/usr/bin/env sh'*) printf '%s\n' "$file" ;;
	esac
done
