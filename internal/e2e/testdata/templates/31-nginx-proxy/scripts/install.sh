#!/bin/bash
set -euxo pipefail

if command -v dnf >/dev/null; then
  dnf -y install nginx
else
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q update
  apt-get -q -y install --no-install-recommends nginx-light
fi
