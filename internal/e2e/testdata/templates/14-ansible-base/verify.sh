holds /etc/application.conf 'family = Debian'
holds /etc/greeting 'hello from root'
is /etc/application.conf -rw------- application
absent /tmp/packer-provisioner-ansible-local
described '"Key": "Provisioner", "Value": "ansible-local"'
