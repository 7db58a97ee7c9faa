holds /etc/redis/redis.conf 'appendonly yes'
holds /etc/redis/redis.conf 'maxmemory 256mb'
holds /etc/sysctl.d/60-redis.conf vm.overcommit_memory
is /var/lib/redis drwxr-xr-x redis
described '"Name": "redis 1' '"Key": "BaseAMI", "Value": "ami-'
