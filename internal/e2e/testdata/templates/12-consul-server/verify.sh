holds /opt/consul/bin/consul 'Consul v1.20.1'
links /usr/local/bin/consul /opt/consul/bin/consul
holds /opt/consul/config/server.hcl bootstrap_expect
is /opt/consul/tls/ca drwxr-xr-x consul
described '"Encrypted": true' '"Description": "Consul 1.20.1 on Debian."'
