holds /etc/agent/agent.json '"version": "1.86.2"'
holds /etc/agent.cfg 'cluster = default'
is /etc/agent.cfg -rw-r--r-- root
holds /etc/from-user-data 'written by cloud-init'
links /etc/systemd/system/multi-user.target.wants/agent.service /etc/systemd/system/agent.service
is /var/lib/agent drwxr-xr-x root
described '"Name": "container-instance-20261121"' '"Key": "team", "Value": "platform"' '"Key": "source_image_name", "Value": "debian-12-amd64-20260101-1234"'
