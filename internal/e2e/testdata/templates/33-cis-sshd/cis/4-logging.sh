#!/bin/bash
# CIS 4.2: journald
set -euo pipefail
mkdir -p /etc/systemd/journald.conf.d
printf '[Journal]\nStorage=persistent\nCompress=yes\nForwardToSyslog=no\n' > /etc/systemd/journald.conf.d/cis.conf
find /var/log -type f -exec chmod g-wx,o-rwx {} +
