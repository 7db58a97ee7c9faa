#!/bin/sh
# shellcheck disable=SC2154  # want, id and stay are set in front of this by internal/guest/include.go
#
# The first part of user data whose rest is fetched: cloud-init has fetched all of it by now, and has run nothing of it.
# It keeps what it has fetched for #include-once as it came (cloudinit/user_data.py, _get_include_once_filename). What is
# not what Packer has staged is never run: the machine says so, as the guest program would, and stops.
for f in /var/lib/cloud/instance/data/urlcache/*; do
	sum=$(sha256sum <"$f") && [ "${sum%% *}" = "$want" ] && exit 0
done
say() {
	line="$id $*"
	sum=$(printf '%s' "$line" | cksum)
	printf '\r\n@bakery %s %s\r\n' "${sum%% *}" "$line" >/dev/console
}
say 1 reason "the user data that was fetched is not what Packer has staged: its sha256 is ${sum%% *}, expected $want"
for f in 1 2 3; do
	say 2 verdict fail 1 cloud-init
done
sync
sleep 1
[ -n "$stay" ] || systemctl --force --force poweroff || poweroff -f
# Nothing behind this may run.
while :; do
	sleep 3600
done
