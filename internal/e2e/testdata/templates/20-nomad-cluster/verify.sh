IMAGE=$IMAGE_server
holds /etc/nomad.d/nomad.hcl bootstrap_expect
holds /etc/nomad.d/role 'server of nomad'
absent /opt/alloc_mounts
described '"Key": "Role", "Value": "server"'

IMAGE=$IMAGE_client
holds /etc/nomad.d/nomad.hcl 'client {'
holds /etc/nomad.d/role 'client of nomad'
is /opt/alloc_mounts drwxr-xr-x root
