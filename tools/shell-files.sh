#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# shell-files.sh - lists every shell script git knows of, by its first line, one per line.
# testdata is left out: broken scripts are what some tests are about.
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
