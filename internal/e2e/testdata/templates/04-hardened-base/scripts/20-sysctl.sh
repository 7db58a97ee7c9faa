#!/bin/bash
set -euo pipefail

declare -A settings=(
  [net.ipv4.conf.all.accept_redirects]=0
  [net.ipv4.conf.all.log_martians]=1
  [kernel.kptr_restrict]=2
)
for name in "${!settings[@]}"; do
  echo "$name = ${settings[$name]}"
done | sort > /etc/sysctl.d/99-hardening.conf
