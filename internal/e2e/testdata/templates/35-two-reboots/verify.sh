holds /opt/kernel/BUILT second
is /opt/kernel drwxr-x--- root
holds /etc/sysctl.d/10-kernel.conf 'vm.swappiness = 1'
holds "/home/${BAKERY_LAB_USER:-debian}/boots" 3
