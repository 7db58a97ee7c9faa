holds /etc/app/release 'release 7 of /etc/app'
is /etc/app/release -rw-r----- root
holds /etc/app/groups 'monitored web'
is /etc/app/stamped -rw-r--r-- root
absent /tmp/ansible-local
runs 'grep -q "release 7" /run/app-release'
