#!/bin/bash
# CIS 5: cron, sshd, passwords, sudo
set -euo pipefail
for f in /etc/crontab /etc/cron.hourly /etc/cron.daily /etc/cron.weekly /etc/cron.monthly /etc/cron.d; do
  [ ! -e "$f" ] || chmod og-rwx "$f"
done
rm -f /etc/cron.deny /etc/at.deny
touch /etc/cron.allow && chmod 0640 /etc/cron.allow

sed -i -e '/^#\?MaxAuthTries/d' -e '/^#\?LogLevel/d' /etc/ssh/sshd_config
sed -i '1i MaxAuthTries 4\nLogLevel VERBOSE\nPermitRootLogin no\nX11Forwarding no\nClientAliveInterval 300\nAllowUsers '"$LOGIN_USER" /etc/ssh/sshd_config
chmod 0600 /etc/ssh/sshd_config
mkdir -p /run/sshd && sshd -t
systemctl restart ssh 2>/dev/null || systemctl restart sshd

sed -i 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 365/; s/^PASS_MIN_DAYS.*/PASS_MIN_DAYS 1/' /etc/login.defs
useradd -D -f 30
printf 'Defaults use_pty\nDefaults passwd_tries=3\n' > /etc/sudoers.d/cis
chmod 0440 /etc/sudoers.d/cis && visudo -cf /etc/sudoers.d/cis
passwd -l root
