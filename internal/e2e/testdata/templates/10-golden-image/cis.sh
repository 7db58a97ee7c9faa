#!/bin/bash
set -eu

echo "install cramfs /bin/false" > /etc/modprobe.d/cis.conf
echo "install udf /bin/false" >> /etc/modprobe.d/cis.conf
if [ "$CIS_LEVEL" -ge 2 ]; then
  echo "install usb-storage /bin/false" >> /etc/modprobe.d/cis.conf
fi
echo "* hard core 0" > /etc/security/limits.d/cis.conf
chmod 0600 /etc/crontab 2>/dev/null || true
echo "TMOUT=900" > /etc/profile.d/cis.sh
