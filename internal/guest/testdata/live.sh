#!/bin/sh
# Made by packer-plugin-bakery: an Image-Source to be applied to this machine by root.
umask 077
dir=/var/lib/bakery
refuse() { echo "$1" >&2 && rm -f "$0" && exit 125; }
[ "$(id -u)" = 0 ] || refuse 'this is not root'
[ ! -e $dir/installed ] || refuse 'this machine is being baked by bakery-userdata'
! grep -qs bakery.sh "/proc/$(cat $dir/run/pid 2>/dev/null)/cmdline" ||
	refuse 'another Image-Source is being applied to this machine'
rm -rf $dir
mkdir -p $dir && tail -c +0000001025 "$0" | tar -xf - -C $dir ||
	{ rm -rf $dir && refuse 'the payload cannot be unpacked: is the disk full?'; }
exec /bin/sh $dir/bakery.sh live "$0"
