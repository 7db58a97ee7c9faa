holds /etc/default/web ENVIRONMENT=production
holds /etc/default/web WORKERS=4
is /etc/default/web -rw-r----- root
holds /etc/systemd/system/web.service 'sleep infinity'
absent /tmp/ansible
described '"Key": "Environment", "Value": "production"'
