holds /opt/shipper/conf.d/nginx.conf /var/log/nginx
holds /opt/shipper/conf.d/syslog.conf /var/log/syslog
holds /opt/shipper/shipper.conf "flush = '5s'"
is /opt/shipper/shipper.conf -rw-r--r-- root
absent /home/debian/shipper
described '"Key": "Team", "Value": "observability"' '"Description": "log-shipper from debian-12-amd64-20260101-1234"'
