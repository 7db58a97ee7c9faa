#!/bin/bash
set -euo pipefail

sed -i 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 365/; s/^UMASK.*/UMASK 027/' /etc/login.defs
chmod 0700 /root
passwd --lock root
echo 'Authorized use only. Activity is recorded.' > /etc/issue.net
