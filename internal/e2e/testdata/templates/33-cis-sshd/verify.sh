holds /etc/ssh/sshd_config 'MaxAuthTries 4'
is /etc/ssh/sshd_config -rw------- root
is /etc/sudoers.d/cis -r--r----- root
holds /etc/default/useradd INACTIVE=30
holds /etc/login.defs 'PASS_MAX_DAYS 365'
holds /etc/modprobe.d/cis-filesystems.conf 'install hfsplus /bin/false'
is /etc/cron.allow -rw-r----- root
runs 'systemctl is-active ssh || systemctl is-active sshd'
