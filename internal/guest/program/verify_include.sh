#!/bin/sh
# shellcheck disable=SC2154  # want, id and stay are set before this text by internal/guest/include.go
#
# The first part of user data whose other part is an #include-once. When this runs, cloud-init has fetched the include
# and has run nothing of it. It keeps the fetched file unchanged (cloudinit/user_data.py, _get_include_once_filename).
# Anything that Packer has not staged is never run: this reports it, as the guest program would, and stops the machine.
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
# cloud-init must not continue with the next part.
while :; do
	sleep 3600
done
