#!/bin/sh
set -eu
cat /proc/sys/kernel/random/boot_id > "$HOME/boot-2"
! cmp -s "$HOME/boot-1" "$HOME/boot-2"
sudo install -d -m 0750 /opt/kernel
echo "built by $(id -un)" | sudo tee /opt/kernel/BUILT > /dev/null
