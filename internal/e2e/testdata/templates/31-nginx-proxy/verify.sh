holds /etc/nginx/conf.d/upstream.conf 'server 127.0.0.1:8080;'
is /etc/nginx/conf.d/proxy.conf -rw-r--r-- root
absent /tmp/upstream.conf
runs 'systemctl is-active nginx && grep -q maintenance /var/www/errors/maintenance.html'
