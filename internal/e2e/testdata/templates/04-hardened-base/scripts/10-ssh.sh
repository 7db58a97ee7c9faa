#!/bin/bash
set -euo pipefail

cat > /etc/ssh/sshd_config.d/10-hardening.conf <<'EOF'
PermitRootLogin no
PasswordAuthentication no
MaxAuthTries 3
X11Forwarding no
EOF
chmod 0600 /etc/ssh/sshd_config.d/10-hardening.conf
mkdir -p /run/sshd
sshd -t
