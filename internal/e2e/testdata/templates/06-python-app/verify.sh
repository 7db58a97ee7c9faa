holds /etc/app/env 'VERSION=3.1.4'
holds /etc/app/env "PASSWORD=it's a \"secret\""
holds /etc/systemd/system/app.service 'ExecStart=/usr/bin/python3 -m app --port 8080'
is /etc/systemd/system/app.service -rw-r--r-- root
is /opt/app/__main__.py -rw-r--r-- root
described '"Name": "python-app-3.1.4"'
runs 'curl -sf http://127.0.0.1:8080/ | grep -x 3.1.4'
is /etc/app/env -rw-r----- root:app
