holds /etc/hosts frozen
is /etc/cloud/cloud-init.disabled -rw-r--r-- root
is /usr/local/sbin/first-boot -rwxr-xr-x root
links /etc/systemd/system/multi-user.target.wants/first-boot.service /etc/systemd/system/first-boot.service
