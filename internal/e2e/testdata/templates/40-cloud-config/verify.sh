is /etc/cloud/cloud.cfg.d/90_defaults.cfg -rw-r--r-- root
holds /etc/cloud/cloud.cfg.d/91_motd.cfg 'written at first boot'
holds /etc/cloud/cloud.cfg 'preserve_hostname: true'
is /var/lib/cloud/scripts/per-boot/10-date.sh -rwxr-xr-x root
absent /tmp/91_motd.cfg
described '"Key": "Source"'
runs 'grep -q first /etc/from-cloud-cfg && test -s /run/per-boot'
