holds /home/ada/.ssh/authorized_keys ada@laptop
is /home/ada/.ssh/authorized_keys -rw------- ada:team
is /home/grace/.ssh drwx------ grace:team
is /etc/sudoers.d/90-ada -r--r----- root
absent /etc/sudoers.d/90-grace
absent /tmp/ada.pub
described '"Key": "Team", "Value": "ada,grace"'
runs 'su - grace -c "grep -q grace@desk ~/.ssh/authorized_keys"'
