#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# pre-commit-validate.sh FILE... - runs `packer validate` on the templates that the changed files belong to: those in
# the nearest folder above the file that has templates, or, without such a folder, all templates of the repository. A
# folder is validated as a whole, as `packer build FOLDER` reads it. pre-commit runs this at the top of the repository.
# PACKER is the packer to run, default packer; its plugins must be installed.
set -u

packer=${PACKER:-packer}
if ! command -v "$packer" >/dev/null; then
	echo "bakery-validate: packer is not in PATH; install it, then run packer init" >&2
	exit 1
fi

# has_templates DIRECTORY
has_templates() {
	for template in "$1"/*.pkr.hcl "$1"/*.pkr.json; do
		[ ! -f "$template" ] || return 0
	done
	return 1
}

# template_directories FILE... - one per line, with repetitions.
template_directories() {
	for file in "$@"; do
		directory=$(dirname -- "$file")
		until has_templates "$directory" || [ "$directory" = . ] || [ "$directory" = / ]; do
			directory=$(dirname -- "$directory")
		done
		if has_templates "$directory"; then
			printf '%s\n' "$directory"
		else
			git ls-files -- '*.pkr.hcl' '*.pkr.json' | while IFS= read -r template; do dirname -- "$template"; done
		fi
	done
}

directories=$(template_directories "$@" | sort -u)
status=0
while IFS= read -r directory; do
	[ -n "$directory" ] || continue
	if ! output=$("$packer" validate "$directory" 2>&1); then
		printf 'packer validate %s\n%s\n' "$directory" "$output"
		status=1
	fi
done <<END
$directories
END
exit $status
