holds /etc/motd 'Sessions are recorded'
holds /etc/ssh/sshd_config.d/bastion.conf 'AllowAgentForwarding no'
holds /home/alice/.ssh/authorized_keys alice
is /home/bob/.ssh/authorized_keys -rw------- bob
is /home/bob/.ssh drwx------ bob
absent /tmp/alice.pub
