holds /var/lib/postgresql/data/postgresql.conf 'port = 5433'
holds /var/lib/postgresql/data/postgresql.conf shared_buffers
links /etc/postgresql.conf /var/lib/postgresql/data/postgresql.conf
is /var/lib/postgresql/data/pg_hba.conf -rw------- postgres
described '"Name": "postgres-15"' '"Encrypted": true'
