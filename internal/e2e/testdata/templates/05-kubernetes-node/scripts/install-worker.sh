#!/usr/bin/env bash
set -o errexit -o pipefail -o nounset

if [ "$(cat "/home/$SUDO_USER/boot-before")" = "$(cat /proc/sys/kernel/random/boot_id)" ]; then
  echo >&2 "the machine has not rebooted"
  exit 1
fi
rm "/home/$SUDO_USER/boot-before"

sed "s/@KUBERNETES_VERSION@/$KUBERNETES_VERSION/" "$WORKING_DIR/kubelet.service" > /etc/systemd/system/kubelet.service
mkdir -p /etc/kubernetes/log-collector
mv "$WORKING_DIR"/log-collector/* /etc/kubernetes/log-collector/
chown -R root:root /etc/kubernetes /usr/local/bin
systemctl daemon-reload
systemctl enable kubelet
echo "$KUBERNETES_VERSION" > /etc/kubernetes/release
