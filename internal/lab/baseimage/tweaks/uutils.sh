#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# uutils.sh - makes the image like Ubuntu 26.04, which has uutils for GNU coreutils, and sudo-rs for sudo. Debian has no
# package that puts them in their place (Ubuntu's coreutils-from-uutils), so this links them there. GNU's stay under the
# name NAME.gnu, also when they are updated.
set -eu

rust=/usr/lib/cargo/bin

# replace PATH PROGRAM: puts a link to the program in the place of a file of a package.
replace() {
	dpkg-divert --local --quiet --rename --divert "$1.gnu" --add "$1"
	"$rust/coreutils/ln" -s "$2" "$1"
}

for path in $(dpkg -L coreutils); do
	case $path in
	/usr/bin/* | /usr/sbin/*)
		[ ! -e "$rust/coreutils/${path##*/}" ] || replace "$path" "$rust/coreutils/${path##*/}"
		;;
	esac
done
for path in /usr/bin/sudo /usr/bin/su /usr/sbin/visudo; do
	replace "$path" "$rust/${path##*/}"
done
cp --version | grep -q uutils
sudo --version | grep -q sudo-rs
