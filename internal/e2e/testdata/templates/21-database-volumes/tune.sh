#!/bin/bash -e
sudo tee /etc/sysctl.d/40-database.conf > /dev/null <<EOF
vm.swappiness = 1
vm.dirty_ratio = 15
EOF
sudo mkdir -p /data /log
echo 'LABEL=data /data ext4 defaults,nofail,noatime 0 2' | sudo tee -a /etc/fstab
sudo tee /usr/local/sbin/format-volumes > /dev/null <<'EOF'
#!/bin/sh
blkid -L data || mkfs.ext4 -L data /dev/nvme1n1
EOF
sudo chmod 0755 /usr/local/sbin/format-volumes
