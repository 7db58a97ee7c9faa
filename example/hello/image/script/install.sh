#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# Runs on the machine as root, after fs/ is extracted: for users, owners and services.
set -eu

echo 'install.sh' >>/var/log/hello.order
useradd --system --no-create-home --shell /usr/sbin/nologin hello
install -d -o hello -g hello -m 0750 /var/lib/hello
