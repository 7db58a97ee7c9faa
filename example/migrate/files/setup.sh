#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# setup.sh - moves the uploaded files to their places. Runs as root, with the login user's sudo.
set -eu

install -d -o "$SITE_USER" -g "$SITE_USER" -m 0750 /srv/site
cp -R /tmp/site/. /srv/site/
chown -R "$SITE_USER:$SITE_USER" /srv/site

home=$(getent passwd "$SUDO_USER" | cut -d : -f 6)
install -D -o root -g "$SITE_USER" -m 0640 "$home/site.d/site.conf" /etc/site/site.conf

install -m 0644 /tmp/site.service /etc/systemd/system/site.service
systemctl enable site.service

rm -rf /tmp/site /tmp/site.service "$home/site.d"
