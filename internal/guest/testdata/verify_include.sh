#!/bin/sh
want='abababababababababababababababababababababababababababababababab'
id='0123456789abcdef'
stay=''
for f in /var/lib/cloud/instance/data/urlcache/*; do
sum=$(sha256sum <"$f") && [ "${sum%% *}" = "$want" ] && exit 0
done
report() {
line="$id $*"
sum=$(printf '%s' "$line" | cksum)
printf '\r\n@bakery %s %s\r\n' "${sum%% *}" "$line" >/dev/console
}
report 1 reason "the user data that was fetched is not what Packer has staged: its sha256 is ${sum%% *}, expected $want"
for f in 1 2 3; do
report 2 verdict fail 1 cloud-init
done
sync
sleep 1
[ -n "$stay" ] || systemctl --force --force poweroff || poweroff -f
while :; do
sleep 3600
done
