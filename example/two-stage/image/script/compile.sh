#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# A real script would read a build number or a commit from the environment. It must print the same for the same input.
set -eu

echo 'prepared_by=compile.sh' >>fs/etc/two-stage.conf
echo 'PREPARED=yes'
