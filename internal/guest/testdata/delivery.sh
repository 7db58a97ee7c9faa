#cloud-boothook
#!/bin/sh
umask 077
if [ ! -e /var/lib/bakery/installed ]; then
mkdir -p /var/lib/bakery
cd /var/lib/bakery
cat >delivery <<'BAKERY_END'
BAKERY_TIMEOUT='90'
BAKERY_LOG_URL='https://b.s3/log'
BAKERY_SKIP='ssh_files'
BAKERY_FS_URL='https://b.s3/k?X-Amz-Signature=1&x='\'''
BAKERY_PROFILE=''
BAKERY_END
cat >launch <<'BAKERY_END'
BAKERY_ID='0123456789abcdef'
BAKERY_REPORT_KEY='04000000000000000000000000000000'
BAKERY_COMMIT_URL='https://b.s3/commitment?X-Amz-Signature=1'
BAKERY_COMMIT_HEADERS='if-none-match: *'
BAKERY_END
fi
