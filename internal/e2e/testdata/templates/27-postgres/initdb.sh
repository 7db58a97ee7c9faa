#!/bin/bash
set -eu
[ "$(whoami)" = postgres ]
echo "port = $PGPORT" > "$PGDATA/postgresql.conf"
echo "local all all peer" > "$PGDATA/pg_hba.conf"
chmod 600 "$PGDATA"/*.conf
