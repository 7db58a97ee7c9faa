#!/bin/sh
umask 077
if [ ! -e /var/lib/bakery/installed ]; then
mkdir -p /var/lib/bakery
cd /var/lib/bakery
cat >delivery <<'BAKERY_END'
BAKERY_TIMEOUT='60'
BAKERY_LOG_URL=''
BAKERY_SKIP=''
BAKERY_END
fi
cd /var/lib/bakery
cat >cloud-config.cfg <<'BAKERY_END'
#cloud-config
packages: [a]
BAKERY_END
mkdir -p /run/cloud-init && cat cloud-config.cfg >>/run/cloud-init/cloud.cfg
#cloud-boothook
#!/bin/sh
set -e
umask 077
if [ ! -e /var/lib/bakery/installed ]; then
mkdir -p /var/lib/bakery
cd /var/lib/bakery
mkdir -p steps
base64 -d >env <<'BAKERY_END'
BAKERY_END
cat >steps/001 <<'BAKERY_END'
#!/bin/sh
BAKERY_END
chmod 0700 steps/001
cat >units <<'BAKERY_END'
script 001 x
recorded - provisioners
BAKERY_END
cat >asked_reboot.py <<'BAKERY_END'
(program/asked_reboot.py)
BAKERY_END
cat >rules.py <<'BAKERY_END'
(program/rules.py)
BAKERY_END
cat >wipe.py <<'BAKERY_END'
(program/wipe.py)
BAKERY_END
cat >bakery.sh <<'BAKERY_END'
(program/bakery.sh)
BAKERY_END
fi
exec /bin/sh /var/lib/bakery/bakery.sh setup
