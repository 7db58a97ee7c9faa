#!/usr/bin/env bash
set -o errexit -o nounset

test "$(cat /etc/kubernetes/release)" = "$KUBERNETES_VERSION"
systemctl is-enabled kubelet
if [ -e "$WORKING_DIR/bin/node-bootstrap" ]; then
  echo >&2 "$WORKING_DIR still has the programs"
  exit 1
fi
rm -rf "$WORKING_DIR"
