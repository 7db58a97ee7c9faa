#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# Runs on the machine as root once fs/ is in place. What fs/ cannot say belongs here: owners, users,
# services to switch on.
set -eu

echo 'install.sh' >>/var/log/hello.order
useradd --system --no-create-home --shell /usr/sbin/nologin hello
install -d -o hello -g hello -m 0750 /var/lib/hello
