holds /etc/elasticsearch/elasticsearch.yml 'cluster.name: logs'
holds /etc/elasticsearch/version 8.15.3
holds /etc/elasticsearch/version-info.json '"systemd": "252'
holds /etc/security/limits.d/es.conf 'nofile 65535'
is /usr/local/bin/es-health -rwxr-xr-x root
absent /tmp/es
described '"Key": "version", "Value": "8.15.3"' '"VolumeType": "gp3"'
