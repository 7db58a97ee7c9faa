#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# demo.sh - bakes example/hello on the lab with the real packer, boots the new image as a new machine
# with its own user data, and verifies what a user of the image would. Run it with `make demo`, which
# builds bin/ first. It fails at the first check that fails.
set -eu

top=$(cd "$(dirname "$0")/.." && pwd)
lab=$top/bin/bakery-lab
[ "${1:-}" = inside ] || exec "$lab" run -- "$0" inside

export CHECKPOINT_DISABLE=1 PACKER_PLUGIN_PATH="$top/bin/plugins"
scratch=$(mktemp -d)
instance=''
trap '[ -z "$instance" ] || "$lab" terminate "$instance" >/dev/null; rm -rf "$scratch"' EXIT
export PACKER_CONFIG_DIR="$scratch"

summary=''
# summarize TEXT - adds a line to the summary, which is printed at the end.
summarize() {
	summary="$summary  $*
"
}

fail() {
	printf 'demo: %s\n' "$*" >&2
	exit 1
}

# on COMMAND... - runs a command as root on the booted machine.
on() {
	"$lab" exec "$instance" -- "$@"
}

# same WHAT WANT GOT - fails when the two differ.
same() {
	[ "$2" = "$3" ] || fail "$1 is '$3', expected '$2'"
}

touch "$scratch/begin"
begin=$(date +%s)
# lap NAME - adds the seconds since the last lap to the summary.
lap() {
	now=$(date +%s)
	summarize "$1: $((now - begin)) s"
	begin=$now
}

# The image of the previous demo is not needed any more.
"$lab" deregister 'hello-demo-*' >/dev/null
"$top/bin/packer" build -color=false -var "ami_name=hello-demo-$$-$begin" -var "output_file=$scratch/ami.env" \
	-var "log_url=s3://$BAKERY_LAB_BUCKET/demo" "$top/example/hello" | tee "$scratch/log"
[ -s "$scratch/ami.env" ] || fail 'packer build failed; its output is above'
# shellcheck source=/dev/null
. "$scratch/ami.env"
lap 'packer build'
phases=$(sed -n 's/.*\(prepare [0-9.]* s, .*\)/\1/p' "$scratch/log" | tail -n 1)
[ -z "$phases" ] || summarize "of which: $phases"

echo "== looking for traces of the bake in every block of $AMIID"
# A text of fs/ must be found, to show that the search works.
cat >"$scratch/traces" <<'END'
@bakery 
bakery_power_off
greeting=$(/usr/local/bin/hello)
useradd --system --no-create-home
X-Amz-Signature=
hello from fs/
END
id=$(sed -n 's/.* bakes as \([0-9a-f]*\)$/\1/p' "$scratch/log")
[ -n "$id" ] || fail 'packer did not say which bake this is'
printf '%s\n' "$id" >>"$scratch/traces"
home=${BAKERY_LAB_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/bakery-lab}
# With -z, the zero bytes of a disk end lines, so that no line has gigabytes.
find "$home" -name '*.img' -newer "$scratch/begin" \
	-exec env LC_ALL=C grep -zahoF -f "$scratch/traces" {} + >"$scratch/found" || true
same 'what a search of the raw disk finds' 'hello from fs/' "$(tr '\000' '\n' <"$scratch/found" | sort -u)"
same "the image's machine-id" '' "$("$lab" cat "$AMIID" /etc/machine-id | grep -v uninitialized || true)"
same "the image's host keys" '' "$("$lab" ls "$AMIID" /etc/ssh | grep ssh_host_ || true)"
same 'what is left of the guest program' '' "$("$lab" ls "$AMIID" /var/lib | grep -w bakery || true)"
lap 'searching its disk'

echo "== booting $AMIID as a new machine, with user data of its own"
printf '#!/bin/sh\necho "this machine has user data of its own" >/root/own\n' >"$scratch/own.sh"
instance=$("$lab" boot "$AMIID" --name hello-demo --user-data "$scratch/own.sh" --wait |
	grep -o 'i-[0-9a-f]*' | tail -n 1)
lap 'booting it'

same 'fs/usr/local/bin/hello' '755 root:root' "$(on stat -c '%a %U:%G' /usr/local/bin/hello)"
same 'fs/etc/motd' '644 root:root Baked without SSH.' "$(on stat -c '%a %U:%G' /etc/motd) $(on cat /etc/motd)"
same 'write_files of 10_before.cfg' '600 root:root' "$(on stat -c '%a %U:%G' /etc/hello.d/written-by-cloud-init)"
summarize 'verified: files of fs/ with their modes, owned by root:root'
same "install.sh's folder" '750 hello:hello' "$(on stat -c '%a %U:%G' /var/lib/hello)"
summarize "verified: install.sh's effect, a system user and its folder"
same 'the order of the steps' '10_before install.sh 60_after' \
	"$(on cat /var/log/hello.order | tr '\n' ' ' | sed 's/ $//')"
summarize 'verified: both parts and install.sh, in order'
same 'its own user data' 'this machine has user data of its own' "$(on cat /root/own)"
summarize 'verified: a first boot that ran its own user data'
on cat /etc/machine-id | grep -Eq '^[0-9a-f]{32}$' || fail 'the machine has no machine-id of its own'
on sh -c 'ls /etc/ssh/ssh_host_*_key' >/dev/null || fail 'the machine has no host keys'
summarize 'verified: no machine-id and no host keys in the image, new ones on the machine'
summarize 'verified: no trace of user data, URLs, scripts or reports in any block of the disk'
lap 'verifying it'

printf '\n%s is baked, booted and verified:\n%s' "$AMINAME = $AMIID" "$summary"
