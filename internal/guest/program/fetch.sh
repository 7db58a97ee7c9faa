#!/bin/sh
# shellcheck disable=SC2154  # want, url, stay and limit are set before this text by internal/guest/stage.go; report.sh
#
# The user data of a machine whose real user data is staged, because it is larger than EC2 takes. It fetches what Packer
# has staged, and runs exactly that or nothing: cloud-init's own #include would run whatever is at the URL.
#
# stay keeps a machine on that refuses what it has fetched, where a machine that stops counts as a success. It is not
# empty then, and there is no guest program: limit, in seconds, is then later than any Packer that is alive waits.

# fetch_user_data tries for about a minute.
fetch_user_data() {
	since=$(bakery_uptime)
	for pause in 1 2 4 8 0; do
		if bakery_get "$url" "$bakery_dir/user-data.gz"; then
			sum=$(sha256sum <"$bakery_dir/user-data.gz")
			[ "${sum%% *}" != "$want" ] || return 0
			printf '%s\n' "the user data that was fetched is not what Packer has staged: its sha256 is ${sum%% *}" \
				>"$bakery_run/reason"
		else
			bakery_explain_transfer "$url"
		fi
		[ $(($(bakery_uptime) - since)) -lt 45 ] || break
		sleep "$pause"
	done
	return 1
}

give_up() {
	report_failure 1
	[ -n "$stay" ] || power_off
	# cloud-init must not continue: there is nothing else to do.
	while :; do
		sleep 3600
	done
}

# report_failure CODE
report_failure() {
	bakery_report reason "$(cat "$bakery_run/reason" 2>/dev/null || echo 'the machine could not make its secret')"
	bakery_compose verdict fail "$1" cloud-init
	bakery_print "$bakery_line" "$bakery_line" "$bakery_line"
	sync
	sleep 1
}

power_off() {
	systemctl --force --force poweroff || poweroff -f || echo o >/proc/sysrq-trigger
}

# end_after_limit powers the machine off, whatever it is doing then: nobody else may be there to end it. It begins anew
# at each boot, as long as cloud-init runs. It is only a process, so nothing of it can be left in an image.
end_after_limit() {
	trap 'kill "$sleeper"; exit' TERM
	end=$(($(bakery_uptime) + limit))
	# A command of the user's may kill every sleep.
	while [ "$(bakery_uptime)" -lt "$end" ]; do
		sleep $((end - $(bakery_uptime))) &
		sleeper=$!
		wait "$sleeper"
	done
	printf '%s\n' "the machine has not ended within $limit s" >"$bakery_run/reason"
	report_failure 124
	power_off
}

umask 077
mkdir -p "$bakery_run"
# cloud-init waits until nobody has its pipes any more. dash keeps what it redirects for a function, unless by exec.
(
	exec </dev/null >/dev/null 2>&1
	end_after_limit
) &
bakery_commit || give_up
if [ ! -e "$bakery_dir/user-data.sh" ]; then
	fetch_user_data || give_up
	gzip -dc "$bakery_dir/user-data.gz" >"$bakery_dir/user-data" || give_up
	mv "$bakery_dir/user-data" "$bakery_dir/user-data.sh"
fi
# The guest program has its own limit.
[ -n "$stay" ] || kill $!
exec /bin/sh "$bakery_dir/user-data.sh"
