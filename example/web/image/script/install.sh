#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
set -eu

ln -sf ../sites-available/web /etc/nginx/sites-enabled/web
rm -f /etc/nginx/sites-enabled/default
systemctl enable web-booted.service nginx.service
