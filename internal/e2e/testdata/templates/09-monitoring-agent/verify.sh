is /usr/local/bin/exporter -rwxr-xr-x root
holds /etc/systemd/system/exporter.service 'DynamicUser=yes'
links /etc/systemd/system/multi-user.target.wants/exporter.service /etc/systemd/system/exporter.service
described '"Key": "Role", "Value": "metrics"'
runs 'curl -sf http://127.0.0.1:9100/metrics | grep node_load1'
