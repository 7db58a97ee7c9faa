#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# setup.sh lab|test|vm - installs the programs that the lab (make demo), the lab and the tests (make test), or these and
# virtual machines (make test-vm) need. On Debian and its derivatives, it prints the missing packages and installs them
# with apt-get, as root or with sudo. On other systems, it only prints them. Exit code 1 when something is still
# missing.
set -eu

# COMMAND:PACKAGE. `go test -race` needs gcc.
lab='mmdebstrap:mmdebstrap systemd-nspawn:systemd-container mke2fs:e2fsprogs resize2fs:e2fsprogs
	nsenter:util-linux mount:mount ip:iproute2 slirp4netns:slirp4netns'
tests='gcc:gcc ld:binutils shellcheck:shellcheck pigz:pigz aws:awscli
	pre-commit:pre-commit curl:curl git:git mkfs.xfs:xfsprogs mkfs.btrfs:btrfs-progs'
# The base image for arm64 is made with programs of arm64, which this computer's kernel hands to qemu-user.
vm='qemu-system-x86_64:qemu-system-x86 qemu-system-aarch64:qemu-system-arm qemu-aarch64-static:qemu-user-static
	update-binfmts:binfmt-support arch-test:arch-test'

# works COMMAND - succeeds when the command exists and runs. It also looks in /usr/bin and the sbin folders: a version
# manager's shim may come before the real program in PATH, and PATH of other users than root has no sbin folders.
# Of awscli, version 2 is needed: version 1 signs some URLs in a way that S3 has ended.
works() {
	for candidate in "$(command -v "$1" || true)" "/usr/bin/$1" "/usr/sbin/$1" "/sbin/$1"; do
		[ -x "$candidate" ] || continue
		if [ "$1" = aws ]; then
			case $("$candidate" --version 2>&1) in
			aws-cli/2*) ;;
			*) continue ;;
			esac
		fi
		return 0
	done
	return 1
}

# missing COMMAND:PACKAGE... - prints the packages whose command does not work, in one line.
missing() {
	for pair in "$@"; do
		works "${pair%%:*}" || printf '%s ' "${pair#*:}"
	done
	[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || printf 'debian-archive-keyring '
	case " $* " in
	*" arch-test:"*) [ -e /usr/share/qemu-efi-aarch64/QEMU_EFI.fd ] || printf 'qemu-efi-aarch64 ' ;;
	esac
	case " $* " in
	*" gcc:gcc "*) [ -e /usr/include/stdlib.h ] || printf 'libc6-dev ' ;;
	esac
	case " $* " in
	*" aws:awscli "*) /usr/bin/python3 -c 'import boto3' 2>/dev/null || printf 'python3-boto3 ' ;;
	esac
}

give_up() {
	echo "setup.sh: missing here: $packages" >&2
	echo "setup.sh: $1" >&2
	exit 1
}

# finish - makes the kernel hand programs of arm64 to qemu-user, when these are needed. That is lost at a restart, where
# nothing like systemd's binfmt.service runs. Then it exits.
finish() {
	case $wanted in
	*arch-test*) arch-test arm64 >/dev/null 2>&1 || $run update-binfmts --enable qemu-aarch64 ||
		echo 'setup.sh: this kernel hands no programs of arm64 to qemu-user, so TestVMOfArm64 will fail' >&2 ;;
	esac
	exit 0
}

run=
[ "$(id -u)" -eq 0 ] || run=sudo

case ${1:-test} in
lab) wanted=$lab ;;
vm) wanted="$lab $tests $vm" ;;
test) wanted="$lab $tests" ;;
*)
	echo "usage: setup.sh lab|test|vm" >&2
	exit 2
	;;
esac

# shellcheck disable=SC2086 # a list of words
packages=$(missing $wanted)
[ -n "$packages" ] || finish
[ "$(uname -s)" = Linux ] ||
	give_up 'the lab needs Linux: use a Debian 12 machine, virtual machine or container with root'
command -v apt-get >/dev/null ||
	give_up 'install these (Debian package names) with the package manager of this system, then run again'

[ -z "$run" ] || command -v sudo >/dev/null || give_up "run as root: apt-get install $packages"
echo "setup.sh: installing with apt-get: $packages"
# shellcheck disable=SC2086 # a list of words; apt-get is silent unless it fails
if ! log=$($run apt-get -q update 2>&1 && $run env DEBIAN_FRONTEND=noninteractive \
	apt-get -q -y --no-install-recommends install $packages 2>&1); then
	printf '%s\n' "$log" >&2
	give_up 'apt-get could not install them; its output is above'
fi
# shellcheck disable=SC2086
packages=$(missing $wanted)
[ -z "$packages" ] || give_up 'apt-get has installed them, but they do not run; see PATH'
finish
