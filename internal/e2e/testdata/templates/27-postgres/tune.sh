#!/bin/bash
set -eu
memory=$(awk '/MemTotal/ { print int($2 / 4096) }' /proc/meminfo)
echo "shared_buffers = ${memory}MB" >> "$PGDATA/postgresql.conf"
