#cloud-boothook
#!/bin/sh
set -e
umask 077
if [ ! -e /var/lib/bakery/installed ]; then
mkdir -p /var/lib/bakery
cd /var/lib/bakery
mkdir -p boothooks steps steps/001
base64 -d >boothooks/001 <<'BAKERY_END'
IyEvYmluL3NoCmVjaG8gw6kK
BAKERY_END
chmod 0700 boothooks/001
cat >boothooks/names <<'BAKERY_END'
001 05_early.sh (boothook)
BAKERY_END
cat >env <<'BAKERY_END'
BAKERY_FS_SHA256='abababababababababababababababababababababababababababababababab'
BAKERY_REGION='eu-west-1'
BAKERY_FS_URL='https://bucket.s3.eu-west-1.amazonaws.com/a%20b/fs.tgz'
BAKERY_PROFILE='1'
BAKERY_END
cat >modules <<'BAKERY_END'
packages package_update_upgrade_install
write-files write_files
BAKERY_END
cat >steps/001/0 <<'BAKERY_END'
cd /opt
BAKERY_END
base64 -d >steps/001/2 <<'BAKERY_END'
ZWNobyDDqQo=
BAKERY_END
base64 -d >steps/002 <<'BAKERY_END'
IyEvYmluL2Jhc2gKZWNobyBubyBuZXcgbGluZQ==
BAKERY_END
chmod 0700 steps/002
cat >units <<'BAKERY_END'
command 001/0 10_user.cfg runcmd[0]
command 001/2 10_user.cfg runcmd[2]
download fs fs download
extract fs fs extract
install - script/install.sh
recorded - provisioners
script 002 70 sp?ace.cfg
BAKERY_END
cat >asked_reboot.py <<'BAKERY_END'
(program/asked_reboot.py)
BAKERY_END
cat >cloud_init.py <<'BAKERY_END'
(program/cloud_init.py)
BAKERY_END
cat >cloud_keys.py <<'BAKERY_END'
(program/cloud_keys.py)
BAKERY_END
cat >rules.py <<'BAKERY_END'
(program/rules.py)
BAKERY_END
cat >s3get.py <<'BAKERY_END'
(program/s3get.py)
BAKERY_END
cat >wipe.py <<'BAKERY_END'
(program/wipe.py)
BAKERY_END
cat >bakery.sh <<'BAKERY_END'
(program/bakery.sh)
BAKERY_END
base64 -d >install.sh <<'BAKERY_END'
IyEvYmluL3NoCmVjaG8gQkFLRVJZX0VORApCQUtFUllfRU5ECg==
BAKERY_END
chmod 0700 install.sh
fi
exec /bin/sh /var/lib/bakery/bakery.sh setup
