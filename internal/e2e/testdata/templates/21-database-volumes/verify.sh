holds /etc/fstab 'LABEL=data /data ext4'
holds /etc/sysctl.d/40-database.conf 'vm.swappiness = 1'
is /usr/local/sbin/format-volumes -rwxr-xr-x root
is /data drwxr-xr-x root
described '"DeviceName": "/dev/sdf"' '"VolumeSize": 100' '"Iops": 1000' '"VirtualName": "ephemeral0"'
