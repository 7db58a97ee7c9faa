#!/bin/bash
# CIS 1.1: unused file systems, core dumps, banners
set -euo pipefail
for fs in cramfs freevxfs jffs2 hfs hfsplus udf; do
  echo "install $fs /bin/false"
done > /etc/modprobe.d/cis-filesystems.conf
echo '* hard core 0' > /etc/security/limits.d/10-cis-core.conf
echo 'fs.suid_dumpable = 0' > /etc/sysctl.d/60-cis.conf
echo 'Authorized uses only. All activity may be monitored and reported.' | tee /etc/issue /etc/issue.net > /etc/motd
chmod 0644 /etc/issue /etc/issue.net /etc/motd
