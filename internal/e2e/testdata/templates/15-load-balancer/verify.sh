holds /etc/lb/lb.cfg '  maxconn 4096'
holds /etc/lb/lb.cfg '  server app1 10.0.2.10:8080 check'
is /etc/lb/lb.cfg -rw-r--r-- root
holds /etc/sysctl.d/60-lb.conf 4096
absent /home/debian/lb.cfg
absent /var/tmp/install-lb.sh
described '"Public": true'
