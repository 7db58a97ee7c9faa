#!/usr/bin/env bash
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# build-create-image-userdata.sh SOURCE TARGET
#
# Compiles the Image-Source SOURCE into TARGET: userdata.gz, vars.env, and fs.tgz when fs/ is too large for the user
# data. Needs no cloud rights.
#
#   AWSREGION  region, default ap-northeast-1
#   S3URL      s3://bucket/path/to/fs.tgz; required when there is an fs.tgz
#   PACKER     packer to run, default packer
#
# Exit codes: 0 done, 1 wrong parameters or a mistake in the Image-Source, 2 SOURCE does not exist,
# 3 S3URL is needed and missing, 4 compile.sh failed.
set -uo pipefail

die() {
	local code=$1
	shift
	echo "${0##*/}: $*" >&2
	exit "$code"
}

[ $# -eq 2 ] || die 1 "usage: ${0##*/} SOURCE TARGET"
source=$1 target=$2 s3url=${S3URL:-}
[ -d "$source" ] || die 2 "no such directory: $source"
case $s3url in
'' | s3://*/*) ;;
*) die 1 "S3URL is '$s3url'; it must be s3://bucket/path/to/fs.tgz" ;;
esac

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

"${PACKER:-packer}" build -color=false \
	-var "source=$source" -var "target=$target" \
	-var "region=${AWSREGION:-ap-northeast-1}" -var "s3_url=$s3url" \
	"$(dirname "$0")/prepare.pkr.hcl" 2>&1 | tee "$log"
if [ "${PIPESTATUS[0]}" -ne 0 ]; then
	! grep -q 'run script/compile\.sh' "$log" || exit 4
	exit 1
fi
if [ -e "$target/fs.tgz" ] && [ -z "$s3url" ]; then
	die 3 "fs/ is too large for user data: set S3URL to where $target/fs.tgz will be uploaded"
fi
