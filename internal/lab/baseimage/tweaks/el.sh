#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# el.sh - makes the image like those of RHEL and its clones: bash as sh, no curl or wget, NetworkManager, a Python for
# the system that is not in PATH, the user ec2-user, and keys of root that somebody has edited by hand.
set -eu

ln -sf bash /bin/sh

# cloud-init writes the configuration of the network for NetworkManager.
cat >/etc/cloud/cloud.cfg.d/91_el.cfg <<'END'
system_info:
  default_user: {name: ec2-user, gecos: Cloud User}
  network: {renderers: [network-manager]}
END

mkdir -p /usr/libexec
ln -s "$(readlink -f /usr/bin/python3)" /usr/libexec/platform-python
sed -i '1s,^#!.*,#!/usr/libexec/platform-python,' /usr/bin/cloud-init

# Two blanks, a blank and CR LF at the end, and a byte that is not UTF-8.
mkdir -p /root/.ssh
chmod 700 /root/.ssh
(
	umask 077
	key='AAAAC3NzaC1lZDI1NTE5AAAAI'
	printf '# edited by hand  \r\n'
	printf 'ssh-ed25519  %s blanks\n' "${key}Nzn5yKa8AsCV+GlHeyr5UnIOb+FiPAU41iVL5xzDwM4"
	printf 'ssh-ed25519 %s trailing \n' "${key}BbBClXkWKoXKcD6rENTdGv/YHxwryB0HeSbudT0ANLN"
	printf 'ssh-ed25519 %s dos\r\n' "${key}OU3T72XycY+0XPWuKZFNhFmN9KxlzjlydSN2h4uSWIc"
	printf 'from="10.0.0.0/8",no-pty ssh-ed25519\t%s caf\351\n' "${key}HAHEsxIWstWPgyxm3NAYnPXdJH60Pv86znVsq42ruRD"
) >/root/.ssh/authorized_keys
if command -v curl || command -v wget; then exit 1; fi
