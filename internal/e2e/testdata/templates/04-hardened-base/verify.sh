holds /etc/ssh/sshd_config.d/10-hardening.conf 'PermitRootLogin no'
is /etc/ssh/sshd_config.d/10-hardening.conf -rw------- root
holds /etc/sysctl.d/99-hardening.conf 'kernel.kptr_restrict = 2'
holds /etc/login.defs 'PASS_MAX_DAYS 365'
holds /etc/issue.net 'Authorized use only'
is /root drwx------ root
holds /etc/shadow 'root:!'
described '"Encrypted": true' '"ImdsSupport": "v2.0"' '"Key": "Version", "Value": "2.1"'
