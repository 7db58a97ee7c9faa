holds /srv/app/releases/5.0.1/bin/app 5.0.1
is /srv/app/releases/5.0.1/bin/app -rwxr-xr-x root
links /srv/app/current releases/5.0.1
holds /srv/app/releases/5.0.1/lib/part-199.txt 'part 199'
absent /tmp/app.tar.gz
described '"Key": "Release", "Value": "5.0.1"'
