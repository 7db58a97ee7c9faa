#!/bin/bash
apt-get clean
rm -rf /var/lib/apt/lists/* /tmp/leftover
find /var/log -type f -name '*.gz' -delete
