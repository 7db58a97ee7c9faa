holds /home/debian/.config/dev/settings 'shell=/bin/bash'
holds /home/debian/.config/dev/settings 'user=debian'
holds /home/debian/.config/dev/settings 'home=/home/debian'
holds /home/debian/.config/dev/settings 'umask=0022'
holds /home/debian/.config/dev/settings 'path=/usr/local/bin:/usr/bin:/bin'
holds /home/debian/.bashrc "alias ll='ls -l'"
holds /home/debian/tools.txt 'tree v'
is /home/debian/bin drwxr-xr-x debian
holds /etc/profile.d/editor.sh EDITOR=vi
