holds /etc/docker/daemon.json '"max-size": "10m"'
is /etc/docker/daemon.json -rw-r--r-- root
holds /etc/modules-load.d/docker.conf br_netfilter
holds /etc/sysctl.d/90-docker.conf 'net.ipv4.ip_forward = 1'
bakery-lab cat "$IMAGE" /etc/group | grep -q '^docker:.*debian' || fail 'the user is not in the group docker'
absent /tmp/daemon.json
described '"Key": "OS", "Value": "debian"' '"Description": "Docker host, built from ami-'
