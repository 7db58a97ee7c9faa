#!/usr/bin/env bash
set -ex
sudo rm -rf /var/lib/agent/data /tmp/*.cfg
sudo truncate -s 0 /etc/hostname
