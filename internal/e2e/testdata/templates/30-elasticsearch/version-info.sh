#!/usr/bin/env bash
set -euo pipefail
dpkg-query -W -f '{"systemd": "${Version}"}\n' systemd > "$1"
