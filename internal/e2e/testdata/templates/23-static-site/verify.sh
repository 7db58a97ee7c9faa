holds /srv/site/index.html '<title>Site</title>'
holds /srv/site/css/site.css sans-serif
holds /etc/site-files /srv/site/css/site.css
links /etc/systemd/system/multi-user.target.wants/site.service /etc/systemd/system/site.service
is /srv/site/css/site.css -rw-r--r-- root
