#!/bin/sh
set -e

[ "$(id -u)" = 0 ]

groupadd --system --force docker
usermod -aG docker "$DOCKER_USER"

mkdir -p /etc/docker
sed "s/@LOG_SIZE@/$LOG_SIZE/" /tmp/daemon.json > /etc/docker/daemon.json
rm /tmp/daemon.json

cat > /etc/modules-load.d/docker.conf <<EOF
overlay
br_netfilter
EOF

cat > /etc/sysctl.d/90-docker.conf <<EOF
net.ipv4.ip_forward = 1
vm.max_map_count = 262144
EOF
