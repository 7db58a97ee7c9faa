holds /etc/docker/daemon.json live-restore
holds /etc/docker-release 'docker 24.0'
holds /etc/group 'docker:'
is /usr/local/bin/dockerd -rwxr-xr-x root
absent /tmp/files
runs 'systemctl is-active docker && grep -q serving /run/dockerd.log'
