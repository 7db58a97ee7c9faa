#!/usr/bin/env bash
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# build-ami.sh [USERDATA [TARGETNAME [TARGETVERSION]]]
#
# Bakes the image TARGETNAME-TARGETVERSION from USERDATA, the userdata.gz that
# build-create-image-userdata.sh has made.
#
# Required:
#   BUILDAMI_BASEAMI             id or name of the image to start from, or resolve:ssm:PARAMETER
#   BUILDAMI_SECURITYGROUPS      security group ids, separated by spaces or commas
#   BUILDAMI_SUBNET              subnet id
# Required unless given as arguments:
#   BUILDAMI_USERDATA, BUILDAMI_TARGETNAME, BUILDAMI_TARGETVERSION
# Optional:
#   BUILDAMI_PROFILE             IAM instance profile; not needed, the machine downloads with a presigned URL
#   BUILDAMI_TYPE                instance type, default t3.nano
#   BUILDAMI_TARGETDESCRIPTION   default made of name and version
#   BUILDAMI_KEYPAIR             key pair, default none
#   BUILDAMI_OUTPUT              file for the lines AMINAME= and AMIID=, default none
#   BUILDAMI_TIMEOUT_INSTANCE    seconds for the instance, default 300, at least 120
#   BUILDAMI_TIMEOUT_AMI         seconds for the image, default 300, at least 120
#   BUILDAMI_WAIT_INSTANCE       polling interval of the instance in seconds, default 5, at most 60
#   BUILDAMI_WAIT_AMI            polling interval of the image in seconds, default 5, at most 60
#   BUILDAMI_S3URL               s3://bucket/path/to/fs.tgz; needs BUILDAMI_S3REGION and BUILDAMI_FSTGZ. The file
#                                is uploaded to a new folder beside that object, and stays there
#   PACKER                       packer to run, default packer
#
# Exit codes: 0 done, 1 wrong parameters, 2 a file does not exist, 3 the instance could not be made
# or a value is out of range, 4 the instance took too long, 5 the image took too long.
set -uo pipefail

die() {
	local code=$1
	shift
	echo "${0##*/}: $*" >&2
	exit "$code"
}

# required NAME VALUE
required() {
	[ -n "$2" ] || die 1 "$1 is missing; see the first lines of $0"
}

# seconds NAME VALUE MIN MAX - checks a number of seconds.
seconds() {
	[[ $2 =~ ^[0-9]{1,6}$ ]] || die 3 "$1 is '$2'; it must be a number of seconds"
	((10#$2 >= $3 && 10#$2 <= $4)) || die 3 "$1 is $2 seconds; it must be between $3 and $4"
}

[ $# -le 3 ] || die 1 "usage: ${0##*/} [USERDATA [TARGETNAME [TARGETVERSION]]]"
userdata=${1:-${BUILDAMI_USERDATA:-}}
name=${2:-${BUILDAMI_TARGETNAME:-}}
version=${3:-${BUILDAMI_TARGETVERSION:-}}
s3url=${BUILDAMI_S3URL:-} fstgz=${BUILDAMI_FSTGZ:-}

required 'USERDATA (or BUILDAMI_USERDATA)' "$userdata"
required 'TARGETNAME (or BUILDAMI_TARGETNAME)' "$name"
required 'TARGETVERSION (or BUILDAMI_TARGETVERSION)' "$version"
required BUILDAMI_BASEAMI "${BUILDAMI_BASEAMI:-}"
required BUILDAMI_SECURITYGROUPS "${BUILDAMI_SECURITYGROUPS:-}"
required BUILDAMI_SUBNET "${BUILDAMI_SUBNET:-}"
if [ -n "$s3url$fstgz" ]; then
	required BUILDAMI_S3URL "$s3url"
	required BUILDAMI_S3REGION "${BUILDAMI_S3REGION:-}"
	required BUILDAMI_FSTGZ "$fstgz"
	[[ $s3url == s3://*/* ]] || die 1 "BUILDAMI_S3URL is '$s3url'; it must be s3://bucket/path/to/fs.tgz"
	[ -f "$fstgz" ] || die 2 "no such file: $fstgz"
fi
[ -f "$userdata" ] || die 2 "no such file: $userdata"

timeout_instance=${BUILDAMI_TIMEOUT_INSTANCE:-300} timeout_ami=${BUILDAMI_TIMEOUT_AMI:-300}
wait_instance=${BUILDAMI_WAIT_INSTANCE:-5} wait_ami=${BUILDAMI_WAIT_AMI:-5}
seconds BUILDAMI_TIMEOUT_INSTANCE "$timeout_instance" 120 86400
seconds BUILDAMI_TIMEOUT_AMI "$timeout_ami" 120 86400
seconds BUILDAMI_WAIT_INSTANCE "$wait_instance" 1 60
seconds BUILDAMI_WAIT_AMI "$wait_ami" 1 60

scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT

# A folder with vars.env is a bundle; everything else is other user data.
folder=$(dirname "$userdata")
if [ ! -f "$folder/vars.env" ]; then
	[ -z "$fstgz" ] || die 2 "no such file: $folder/vars.env, which says what BUILDAMI_FSTGZ must be"
	input=(-var "user_data_file=$userdata")
elif [ "${userdata##*/}" = userdata.gz ] && { [ -z "$fstgz" ] || [ "$fstgz" -ef "$folder/fs.tgz" ]; }; then
	input=(-var "bundle=$folder")
else
	cp "$userdata" "$scratch/userdata.gz" && cp "$folder/vars.env" "$scratch/" || exit 2
	[ -z "$fstgz" ] || cp "$fstgz" "$scratch/fs.tgz" || exit 2
	input=(-var "bundle=$scratch")
fi

# "sg-1 sg-2" or "sg-1,sg-2" -> ["sg-1","sg-2"]
read -ra groups <<<"${BUILDAMI_SECURITYGROUPS//,/ }"
printf -v group_list '"%s",' "${groups[@]}"

# Names of images are unique, so the name contains the version.
"${PACKER:-packer}" build -color=false "${input[@]}" \
	-var "source_ami=$BUILDAMI_BASEAMI" \
	-var "security_group_ids=[${group_list%,}]" \
	-var "subnet_id=$BUILDAMI_SUBNET" \
	-var "iam_instance_profile=${BUILDAMI_PROFILE:-}" \
	-var "ami_name=${name// /-}-$version" \
	-var "image_version=$version" \
	-var "ami_description=${BUILDAMI_TARGETDESCRIPTION:-$name $version}" \
	-var "instance_type=${BUILDAMI_TYPE:-t3.nano}" \
	-var "key_name=${BUILDAMI_KEYPAIR:-}" \
	-var "output_file=${BUILDAMI_OUTPUT:-}" \
	-var "instance_timeout=${timeout_instance}s" -var "image_timeout=${timeout_ami}s" \
	-var "instance_poll_interval=${wait_instance}s" -var "image_poll_interval=${wait_ami}s" \
	-var "staging_url=${s3url%/*}" -var "staging_region=${BUILDAMI_S3REGION:-}" \
	"$(dirname "$0")/bake.pkr.hcl" 2>&1 | tee "$scratch/log"
[ "${PIPESTATUS[0]}" -ne 0 ] || exit 0

! grep -q 'instance_timeout' "$scratch/log" || exit 4
! grep -q 'image_timeout' "$scratch/log" || exit 5
exit 3
