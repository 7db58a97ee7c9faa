#!/bin/bash
set -e
useradd --system --no-create-home redis
mkdir -p /etc/redis /var/lib/redis
cp /tmp/redis.conf /etc/redis/redis.conf
echo "maxmemory $MAXMEMORY" >> /etc/redis/redis.conf
echo "# $BUILD" >> /etc/redis/redis.conf
chown -R redis:redis /var/lib/redis
echo 'vm.overcommit_memory = 1' > /etc/sysctl.d/60-redis.conf
