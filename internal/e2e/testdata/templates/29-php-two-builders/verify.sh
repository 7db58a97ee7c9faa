# shellcheck disable=SC2154
IMAGE=$IMAGE_php_web
holds /etc/php-role role=php-web
holds /etc/php.ini memory_limit=128M
is /var/www/php drwxr-xr-x root
absent /var/spool/php-worker
described '"Key": "SourceName", "Value": "debian-12-amd64-20260101-1234"'
# shellcheck disable=SC2154
IMAGE=$IMAGE_php_worker
holds /etc/php-role role=php-worker
holds /etc/php.ini memory_limit=1G
is /var/spool/php-worker drwxr-xr-x root
absent /var/www/php
