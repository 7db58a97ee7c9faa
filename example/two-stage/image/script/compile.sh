#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# A build number or a commit would be read from the environment here; the same for the same input.
set -eu

echo 'prepared_by=compile.sh' >>fs/etc/two-stage.conf
echo 'PREPARED=yes'
