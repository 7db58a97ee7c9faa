#!/usr/bin/env bash
set -o errexit -o pipefail -o nounset

cat /proc/sys/kernel/random/boot_id > "$HOME/boot-before"
echo "br_netfilter" | sudo tee /etc/modules-load.d/k8s.conf
sudo reboot
