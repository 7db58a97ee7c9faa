set -e
sudo mkdir -p /srv/site
sudo cp -r /tmp/site/. /srv/site/
sudo tee /etc/systemd/system/site.service >/dev/null <<EOF
[Service]
DynamicUser=yes
AmbientCapabilities=CAP_NET_BIND_SERVICE
WorkingDirectory=/srv/site
ExecStart=/usr/bin/python3 -m http.server 80

[Install]
WantedBy=multi-user.target
EOF
