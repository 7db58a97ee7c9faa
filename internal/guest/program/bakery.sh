#!/bin/sh
# shellcheck disable=SC1090,SC1091,SC2317  # files that exist on the machine only; functions called from traps and files
#
# The guest program: bakes the machine it runs on, says on the console how it goes, and powers off.
#
#   bakery.sh place      from a boothook, before anything else: installs and starts the two services
#   bakery.sh run        bakery.service: every step, then the verdict; carries on here after a reboot
#   bakery.sh watchdog   bakery-watchdog.service: ends a bake that hangs
#   bakery.sh commands DIR N, replay DIR, download NAME, extract NAME, install
#                        the steps themselves, each in a session of its own
#
# POSIX sh, with nothing but coreutils, util-linux, tar, gzip and the Python that runs cloud-init.
# Every name begins with bakery_, because the commands of a part share their shell with this file.

bakery_dir=/var/lib/bakery # survives a reboot, gone at the end
bakery_run=/run/bakery     # tmpfs: writable when the disk is full
bakery_console=/dev/console
bakery_cloud=/run/cloud-init
bakery_output=/var/log/cloud-init-output.log
bakery_mounts=/proc/mounts

# --- reports --------------------------------------------------------------------------------------------------------

# bakery_report KIND WORD... : one short line, checksummed, because the kernel and systemd write to the console too.
bakery_report() {
	bakery_compose "$@"
	bakery_say "$bakery_line"
}

bakery_compose() {
	bakery_seq=$(cat "$bakery_run/seq" 2>/dev/null)
	bakery_seq=$((${bakery_seq:-0} + 1))
	echo "$bakery_seq" >"$bakery_run/seq"
	bakery_line=$(printf '%s' "$(cat "$bakery_run/id") $bakery_seq $*" | LC_ALL=C tr -c '\040-\176' '?' | cut -c 1-240)
	bakery_sum=$(printf '%s' "$bakery_line" | cksum)
	bakery_line="@bakery ${bakery_sum%% *} $bakery_line"
	{ echo "$bakery_line" >>"$bakery_dir/log"; } 2>/dev/null
	return 0
}

# bakery_say LINE... : prints reports, each from the start of a line to its end.
bakery_say() {
	{ printf '\r\n%s\r\n' "$@" >"$bakery_console"; } 2>/dev/null
	return 0
}

# --- where the bake stands: an append-only file of "boot", "start N", "end N" and "reboot N" ------------------------

bakery_record() {
	echo "$*" >>"$bakery_dir/progress"
}

# bakery_at prints the number of the step that was begun last.
bakery_at() {
	sed -n 's/^start //p' "$bakery_dir/progress" | tail -n 1 | grep . || echo 0
}

# bakery_unit N: sets kind, file and name from line N of the list of steps; false behind its end.
bakery_unit() {
	bakery_rest=$(sed -n "${1}p" "$bakery_dir/units")
	bakery_kind=${bakery_rest%% *}
	bakery_rest=${bakery_rest#* }
	bakery_file=${bakery_rest%% *}
	bakery_name=${bakery_rest#* }
	[ -n "$bakery_kind" ]
}

# bakery_begin N, bakery_end N: account for one step. A step that cannot be recorded is not begun: after a reboot it
# would run twice.
bakery_begin() {
	bakery_reserve
	wc -c <"$bakery_dir/log" >"$bakery_run/offset"
	bakery_record start "$1" || return 1
	bakery_report start "$1" "$bakery_name"
}

bakery_end() {
	bakery_record end "$1" || return 1
	bakery_report end "$1" 0 "$bakery_name"
	bakery_hold
}

# bakery_reserve allocates room behind the end of what is written here, so that a full disk still can be reported.
bakery_reserve() {
	for bakery_f in log progress; do
		fallocate -n -o "$(wc -c <"$bakery_dir/$bakery_f")" -l 65536 "$bakery_dir/$bakery_f"
	done >/dev/null 2>&1
	return 0
}

# bakery_hold stops here when the machine is about to reboot or power off: the next step must not be cut off in its
# middle, because a step that a reboot interrupts counts as ended.
bakery_hold() {
	while bakery_leaving; do
		sleep 1
	done
}

bakery_leaving() {
	grep -qs '^MODE=reboot' /run/systemd/shutdown/scheduled && return 0
	[ "$(systemctl is-system-running 2>/dev/null)" != stopping ] || return 0
	case $(busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager \
		PreparingForShutdown 2>/dev/null) in
	*true*) return 0 ;;
	esac
	return 1
}

# --- the end of a bake ----------------------------------------------------------------------------------------------

# bakery_fail CODE NAME REASON FILE OFFSET : tells everything and powers off.
bakery_fail() {
	trap '' TERM USR1
	bakery_hush
	if [ -e "$bakery_dir/tell.py" ]; then
		(bakery_tell tail "$4" "$5") || bakery_report warn 'the last lines could not be told'
	else
		tail -c "+$(($5 + 1))" "$4" 2>/dev/null | tr -d '\000' | tr '\r' '\n' | grep -v '^@bakery ' | tail -n 40 |
			while IFS= read -r bakery_l || [ -n "$bakery_l" ]; do
				bakery_report tail "$bakery_l"
			done
	fi
	[ -z "$3" ] || bakery_report reason "$3"
	bakery_pack_log
	bakery_judge fail "$1" "$2"
}

# bakery_fail_step CODE REASON : the step that was begun last failed.
bakery_fail_step() {
	bakery_unit "$(bakery_at)" || bakery_name='guest program'
	bakery_fail "$1" "$bakery_name" "$2" "$bakery_dir/log" "$(cat "$bakery_run/offset" 2>/dev/null || echo 0)"
}

# bakery_power_off prints the verdict, last and three times, because losing it loses the bake. It goes past logind,
# whose inhibitors may delay or refuse a power-off.
bakery_power_off() {
	sync
	bakery_say "$bakery_final" "$bakery_final" "$bakery_final"
	[ -z "${bakery_down:-}" ] || exit 0
	# systemd stops this service too on the way down; nothing is left to do then.
	trap 'exit 0' TERM
	systemctl --no-block --job-mode=replace-irreversibly start poweroff.target || systemctl --no-block poweroff || poweroff
	sleep 120 &
	wait
	systemctl --force poweroff || poweroff -f
	exit 0
}

# bakery_judge WORD... : the verdict, which is not said anywhere before nothing can change it any more.
bakery_judge() {
	bakery_compose verdict "$@"
	bakery_final=$bakery_line
	if [ -n "$BAKERY_LOG_URL" ]; then
		# What is compressed can be put behind each other.
		echo "$bakery_final" | gzip >>"$bakery_run/log.gz"
		bakery_put "$BAKERY_LOG_URL" "$bakery_run/log.gz" || bakery_report warn 'the log could not be uploaded'
	fi 2>/dev/null
	bakery_power_off
}

# bakery_pack_log makes the log ready to be put where the delivery says, in the form that tell.py has, but for the verdict.
# Once: where a clean-up fails late, the log on the disk is gone already.
bakery_pack_log() {
	[ -n "$BAKERY_LOG_URL" ] && [ ! -e "$bakery_run/log.gz" ] || return 0
	{
		echo "@bakery-lines $BAKERY_ID 0 1 1"
		cat "$bakery_output"
		echo "@bakery-lines $BAKERY_ID 1 1 1"
		cat "$bakery_dir/log"
	} 2>/dev/null | gzip >"$bakery_run/log.gz"
}

# --- what the steps print, while they do ----------------------------------------------------------------------------

# bakery_tell WORD... : becomes tell.py. Its secrets do not stand among its arguments.
bakery_tell() {
	export BAKERY_ID BAKERY_KEY BAKERY_LOG_URL BAKERY_LOG_HEADERS
	exec "$(bakery_python)" "$bakery_dir/tell.py" "$@" </dev/null
}

# bakery_listen begins to tell what is printed.
bakery_listen() {
	[ -n "$BAKERY_LIVE" ] || return 0
	(bakery_tell "$BAKERY_LIVE") &
	echo $! >"$bakery_run/teller"
}

# bakery_hush lets it tell what there still is, and ends it, within a second.
bakery_hush() {
	for bakery_i in 15 0 0 0 0 0 0 0 0 9; do
		bakery_p=$(cat "$bakery_run/teller") && grep -q tell.py "/proc/$bakery_p/cmdline" || return 0
		kill "-$bakery_i" "$bakery_p"
		sleep 0.1
	done
} 2>/dev/null

# --- cloud-init's own account ---------------------------------------------------------------------------------------

# bakery_python prints the interpreter that runs cloud-init; on RHEL 8 it is not in PATH.
bakery_python() {
	bakery_p=$(command -v cloud-init 2>/dev/null) && bakery_p=$(sed -n '1s/^#! *\([^ ]*python[^ ]*\).*/\1/p' "$bakery_p")
	for bakery_p in "$bakery_p" python3 /usr/libexec/platform-python python; do
		[ -n "$bakery_p" ] && command -v "$bakery_p" && return 0
	done
	return 1
}

# bakery_await waits until cloud-init has exited. The unit is ordered behind cloud-final.service; from 24.3 on, the
# process that does the work is another one and may live a moment longer.
bakery_await() {
	bakery_i=0
	while [ "$bakery_i" -lt 60 ]; do
		[ -s "$bakery_cloud/result.json" ] &&
			[ "$(systemctl show -p SubState cloud-init-main.service 2>/dev/null)" != SubState=running ] && return 0
		bakery_i=$((bakery_i + 1))
		sleep 1
	done
	[ -s "$bakery_cloud/result.json" ]
}

# bakery_judge_cloud_init fails the bake for errors of the modules the bake configured; others are the base image's.
bakery_judge_cloud_init() {
	bakery_await || bakery_fail 1 cloud-init 'cloud-init did not finish: it left no result.json' "$bakery_output" 0
	"$(bakery_python)" -c 'import json
for e in json.load(open("/run/cloud-init/result.json"))["v1"]["errors"]: print(" ".join(str(e).split()))
' >"$bakery_run/errors" || bakery_fail 1 cloud-init 'reading its result.json failed' "$bakery_output" 0
	while IFS= read -r bakery_e; do
		bakery_m=$(printf '%s' "$bakery_e" | sed -n "s/^('\([^']*\)'.*/\1/p" | tr - _)
		case " $BAKERY_MODULES " in
		*" ${bakery_m:-_} "* | *' * '*)
			bakery_code=$(printf '%s' "$bakery_e" | sed -n 's/.*[Ee]xit code: *\([0-9][0-9]*\).*/\1/p')
			bakery_fail "${bakery_code:-1}" "cloud-init ${bakery_m:-module}" "$bakery_e" "$bakery_output" 0
			;;
		esac
		bakery_report warn "cloud-init: $bakery_e"
	done <"$bakery_run/errors"
}

# --- the services ---------------------------------------------------------------------------------------------------

# bakery_place installs and starts the services. DefaultDependencies=no, because multi-user.target would otherwise wait
# for bakery.service, which waits for cloud-final.service, which on Debian and Ubuntu waits for multi-user.target.
# What the kernel kills when memory is short must not take the service along: systemd would stop it, the watchdog as well.
# A unit file that systemd has not looked for yet needs no daemon-reload, which is better left alone during boot.
bakery_place() {
	umask 022
	bakery_load
	if [ ! -e "$bakery_dir/placed" ]; then
		bakery_arrange
		bakery_keys >"$bakery_dir/keys.before"
		bakery_service run 'After=sysinit.target basic.target network-online.target cloud-final.service cloud-init-main.service' \
			>/etc/systemd/system/bakery.service
		bakery_service watchdog '' >/etc/systemd/system/bakery-watchdog.service
		mkdir -p /etc/systemd/system/multi-user.target.wants
		ln -sf ../bakery.service /etc/systemd/system/multi-user.target.wants/bakery.service
		# cloud-init is about to write this file anew. That would free its blocks as they are, with the user data in
		# them; by another name they stay a file's, which the clean-up overwrites.
		mv /var/lib/cloud/instance/obj.pkl /var/lib/cloud/instance/obj.pkl.bakery
		touch "$bakery_dir/placed"
	fi
	systemctl --no-block start bakery-watchdog.service bakery.service ||
		{ systemctl daemon-reload && systemctl --no-block start bakery-watchdog.service bakery.service; }
}

# bakery_arrange puts the steps of the delivery where they belong in the list of the document.
bakery_arrange() {
	cd "$bakery_dir" || return 1
	{
		cat units.first
		sed -e '/^recorded /{' -e 'r units.recorded' -e 'd' -e '}' units
		cat units.last
	} >units.all 2>/dev/null
	mv units.all units
}

bakery_service() {
	printf '%s\n' '[Unit]' "Description=Bakery $1" DefaultDependencies=no "$2" Conflicts=shutdown.target \
		Before=shutdown.target Wants=bakery-watchdog.service '[Service]' Environment=HOME=/root Environment=USER=root \
		Environment=LOGNAME=root "ExecStart=/bin/sh $bakery_dir/bakery.sh $1" StandardInput=null StandardOutput=null \
		StandardError=null KillMode=mixed TimeoutStopSec=120 OOMPolicy=continue
}

# --- running the steps ----------------------------------------------------------------------------------------------

bakery_load() {
	BAKERY_ID=none BAKERY_TIMEOUT=3600 BAKERY_LOG_URL='' BAKERY_LOG_HEADERS='' BAKERY_ZERO='' BAKERY_FS_URL='' BAKERY_PROFILE='' BAKERY_SKIP=''
	BAKERY_MODULES='' BAKERY_FS_SHA256='' BAKERY_REGION='' BAKERY_USER=root BAKERY_RECORDED_URL='' BAKERY_RECORDED_SHA256=''
	BAKERY_LIVE='' BAKERY_KEY=''
	. "$bakery_dir/env"
	[ ! -r "$bakery_dir/delivery" ] || . "$bakery_dir/delivery"
	(umask 077 && mkdir -p "$bakery_run" && echo "$BAKERY_ID" >"$bakery_run/id")
	touch "$bakery_dir/log" "$bakery_dir/progress"
}

# What becomes the program it names in a session of its own, with every signal: systemd keeps SIGPIPE from services, a shell
# SIGINT and SIGQUIT from what it puts into the background, and no shell gives back what was ignored when it began.
bakery_detach='import os, signal, sys
for s in range(1, signal.NSIG): signal.getsignal(s) == signal.SIG_IGN and signal.signal(s, signal.SIG_DFL)
os.setsid()
os.execv(sys.argv[1], sys.argv[1:])'

# bakery_child WORD... : runs this program again for a step, in a session of its own, its output in the log. A signal
# ends the wait, not the step, so the wait is taken up again until the step is gone.
bakery_child() {
	"$(bakery_python)" -c "$bakery_detach" /bin/sh "$bakery_dir/bakery.sh" "$@" </dev/null >>"$bakery_dir/log" 2>&1 &
	bakery_pid=$!
	# The time may have been up before there was a step to stop.
	[ ! -e "$bakery_run/timeout" ] || bakery_time_up
	bakery_code=0
	while :; do
		wait "$bakery_pid"
		bakery_code=$?
		kill -0 "$bakery_pid" 2>/dev/null || break
	done
	bakery_pid=''
	[ ! -e "$bakery_run/timeout" ] || bakery_fail_step 124 "it was stopped: the machine's time, $BAKERY_TIMEOUT s, was up"
	[ "$bakery_code" = 0 ] || bakery_fail_step "$bakery_code" "$(cat "$bakery_run/reason" 2>/dev/null)"
}

# bakery_time_up: USR1, from the watchdog.
bakery_time_up() {
	[ -n "${bakery_pid:-}" ] || return 0
	kill -TERM "-$bakery_pid"
	sleep 2
	kill -KILL "-$bakery_pid"
} 2>/dev/null

# bakery_going_down: TERM, from systemd. A reboot is part of baking, a power-off is not.
bakery_going_down() {
	trap '' TERM USR1
	# The step must not get as far as the next one after its reboot is on record.
	[ -z "${bakery_pid:-}" ] || kill -KILL "-$bakery_pid" 2>/dev/null
	if systemctl list-jobs --no-legend 2>/dev/null | grep -Eq '(^| )(reboot|kexec|soft-reboot)\.target '; then
		bakery_sleep_cloud_init
		[ ! -e "$bakery_run/busy" ] || bakery_report warn 'the reboot cut off a command of a provisioner, which counts as ended'
		bakery_record elapsed $(($(date +%s) - bakery_since))
		bakery_record reboot "$(bakery_at)"
		sync
		exit 0
	fi
	bakery_down=1
	bakery_fail_step 143 'the machine was powered off while this step was running'
}

bakery_main() {
	bakery_load
	bakery_since=$(date +%s)
	trap bakery_going_down TERM
	trap bakery_time_up USR1
	echo $$ >"$bakery_run/pid"
	rm -f "$bakery_run/reason"
	bakery_last=$(tail -n 1 "$bakery_dir/progress")
	bakery_boot=$(grep -c '^boot' "$bakery_dir/progress")
	echo "$((bakery_boot * 10000))" >"$bakery_run/seq"
	bakery_record boot || bakery_fail_step 1 'its progress cannot be written: is the disk full?'
	case $bakery_last in
	'')
		bakery_report begin "$(wc -l <"$bakery_dir/units" | tr -d ' ')"
		bakery_keys >"$bakery_dir/keys.after"
		bakery_judge_cloud_init
		;;
	reboot*) bakery_report boot "$((bakery_boot + 1))" ;;
	*) bakery_fail_step 1 'the machine restarted in its middle without shutting down' ;;
	esac
	bakery_n=$(bakery_at)
	bakery_remains "$bakery_n" || bakery_n=$((bakery_n + 1))
	while bakery_unit "$bakery_n"; do
		bakery_step
	done
	bakery_finish
}

# bakery_sleep_cloud_init keeps cloud-init from the boots after this one. It has done its work, and would write the user
# data to the disk again, in other blocks: what it wrote before would stay in free ones.
bakery_sleep_cloud_init() {
	[ ! -e /etc/cloud/cloud-init.disabled ] || return 0
	touch /etc/cloud/cloud-init.disabled "$bakery_dir/asleep"
}

# bakery_step runs step n, or the commands of one part from n on, and moves n behind it.
bakery_step() {
	if [ "$bakery_kind" = command ]; then
		bakery_child commands "${bakery_file%/*}" "$bakery_n"
		# What the commands did not account for, an exit in one of them kept from running.
		bakery_dirs=${bakery_file%/*}
		while bakery_unit "$bakery_n" && [ "$bakery_kind" = command ] && [ "${bakery_file%/*}" = "$bakery_dirs" ]; do
			bakery_n=$((bakery_n + 1))
		done
		[ "$(bakery_at)" = $((bakery_n - 1)) ] ||
			bakery_fail_step 0 'it ended the shell, which kept the commands after it from running'
		# An exit in the last command keeps nothing from running, but its end from being told.
		grep -qx "end $(bakery_at)" "$bakery_dir/progress" || { bakery_unit "$(bakery_at)" && bakery_end "$(bakery_at)"; }
		return 0
	fi
	bakery_begin "$bakery_n" || bakery_fail_step 1 'its progress cannot be written: is the disk full?'
	bakery_child "$bakery_kind" "$bakery_file"
	bakery_end "$bakery_n" || bakery_fail_step 1 'its progress cannot be written: is the disk full?'
	bakery_n=$((bakery_n + 1))
}

# bakery_commands DIR N: the commands of one part, in one shell, from step N on. The accounts are kept in subshells
# with plain options, because a command may have changed IFS or the options for those after it.
bakery_commands() {
	__bakery_part=$1 __bakery_n=$2
	set --
	while bakery_unit "$__bakery_n" && [ "$bakery_kind" = command ] && [ "${bakery_file%/*}" = "$__bakery_part" ]; do
		(unset IFS && set +efuC && bakery_begin "$__bakery_n") || exit 1
		. "$bakery_dir/steps/$bakery_file"
		__bakery_code=$?
		[ "$__bakery_code" = 0 ] || exit "$__bakery_code"
		bakery_unit "$__bakery_n"
		(unset IFS && set +efuC && bakery_end "$__bakery_n") || exit 1
		__bakery_n=$((__bakery_n + 1))
	done
}

# --- recorded provisioners ------------------------------------------------------------------------------------------

# bakery_replay DIR: the operations of one provisioner, in order, from where it stands. An operation that a reboot ends
# has ended, and the next one follows, as it did over SSH.
bakery_replay() {
	bakery_load
	bakery_login || return 1
	bakery_ops=$bakery_dir/replay/$1
	bakery_done=$(cat "$bakery_ops/at" 2>/dev/null || echo 0)
	for bakery_op in "$bakery_ops"/[0-9]*; do
		[ "${bakery_op##*/}" -gt "$bakery_done" ] || continue
		echo "${bakery_op##*/}" >"$bakery_ops/at" || return 1
		# HOME is what a ~ in a destination means.
		(HOME=$bakery_home && . "$bakery_op") || return
	done
}

# bakery_remains N: step N is a provisioner that has operations left.
bakery_remains() {
	bakery_unit "$1" && [ "$bakery_kind" = replay ] || return 1
	bakery_ops=$bakery_dir/replay/$bakery_file
	set -- "$bakery_ops"/[0-9]*
	shift $(($# - 1))
	[ "${1##*/}" -gt "$(cat "$bakery_ops/at" 2>/dev/null || echo 0)" ]
} 2>/dev/null

# bakery_login looks up the user that Packer would have logged in as.
bakery_login() {
	bakery_pw=$(getent passwd "$BAKERY_USER") || {
		echo "user $BAKERY_USER does not exist here, who is to run the provisioners: set ssh_username or run_as" |
			tee "$bakery_run/reason"
		return 1
	}
	bakery_home=$(echo "$bakery_pw" | cut -d : -f 6)
	bakery_shell=$(echo "$bakery_pw" | cut -d : -f 7)
	: "${bakery_shell:=/bin/sh}"
	bakery_mask
}

# bakery_mask: the umask of the session. On Ubuntu, RHEL and a newer Debian, pam_umask takes it from login.defs, and gives
# a user with a group of its own name 002 instead of 022.
bakery_mask() {
	bakery_umask=022
	grep -qs '^-*session.*pam_umask' /etc/pam.d/sshd /etc/pam.d/common-session /etc/pam.d/postlogin || return 0
	bakery_m=$(sed -n 's/^UMASK[[:blank:]]*\([0-7][0-7]*\).*/\1/p' /etc/login.defs)
	bakery_umask=${bakery_m:-022}
	[ "$BAKERY_USER" != root ] && [ "$(id -gn "$BAKERY_USER")" = "$BAKERY_USER" ] &&
		grep -q '^USERGROUPS_ENAB[[:blank:]]*yes' /etc/login.defs || return 0
	bakery_umask=$(printf %03o $((0$bakery_umask & ~070 | 0$bakery_umask >> 3 & 070)))
}

# bakery_as WORD... : runs a program as sshd would for that user: in its home, with no more than its environment. With
# SSH_CLIENT, bash reads ~/.bashrc, as it does for a command over SSH.
bakery_as() {
	bakery_path=/usr/local/bin:/usr/bin:/bin:/usr/games
	[ "$BAKERY_USER" != root ] || bakery_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	bakery_vars "$@"
}

# bakery_vars WORD... : with what pam_env adds to the session: /etc/environment, and the locale on Debian.
bakery_vars() {
	bakery_words=$#
	set -- "$@" "HOME=$bakery_home" "USER=$BAKERY_USER" "LOGNAME=$BAKERY_USER" "SHELL=$bakery_shell" \
		"PATH=$bakery_path" SSH_CLIENT='127.0.0.1 0 22'
	for bakery_f in /etc/environment /etc/default/locale; do
		[ -r "$bakery_f" ] || continue
		while IFS= read -r bakery_l || [ -n "$bakery_l" ]; do
			bakery_l=${bakery_l#export }
			case $bakery_l in
			[A-Za-z_]*=*) ;;
			*) continue ;;
			esac
			bakery_v=${bakery_l#*=}
			case $bakery_v in
			\"*\" | \'*\') bakery_v=${bakery_v#?} bakery_v=${bakery_v%?} ;;
			esac
			set -- "$@" "${bakery_l%%=*}=$bakery_v"
		done <"$bakery_f"
	done
	# The words of the program go behind those of the environment.
	while [ "$bakery_words" -gt 0 ]; do
		set -- "$@" "$1"
		shift
		bakery_words=$((bakery_words - 1))
	done
	set -- env -i "$@"
	[ "$BAKERY_USER" = root ] || set -- runuser -u "$BAKERY_USER" -- "$@"
	(umask "$bakery_umask" && { cd "$bakery_home" || cd /; } && exec "$@")
}

# bakery_command COMMAND, bakery_try COMMAND: what a provisioner ran. The shell provisioner ignores how its chmod ends.
bakery_command() {
	touch "$bakery_run/busy"
	bakery_as "$bakery_shell" -c "$1"
	bakery_code=$?
	rm -f "$bakery_run/busy"
	bakery_hold
	return "$bakery_code"
}

bakery_try() {
	bakery_as "$bakery_shell" -c "$1" || :
}

# bakery_pause SECONDS: where a provisioner waited, for a reboot or for what an earlier one has left running.
bakery_pause() {
	sleep "$1"
	bakery_hold
}

# bakery_upload BLOB MODE DESTINATION: a file, with the means of the login user and in the way of scp: one that is there
# keeps its mode.
bakery_upload() {
	# shellcheck disable=SC2016  # for the user's shell to expand
	bakery_as /bin/sh -c 'if [ -e "$2" ]; then exec cat >"$2"; fi
cat >"$2" && chmod "$(printf %o $((0$1 & ~$(umask))))" "$2"' upload "$2" "$3" <"$bakery_dir/replay/blob/$1" || return
	bakery_hold_on_to "$3"
}

# bakery_hold_on_to FILE: a second name for what was uploaded. When a provisioner removes its script, the blocks stay this
# file's, for the clean-up to overwrite.
bakery_hold_on_to() {
	mkdir -p "$bakery_dir/held" && cd "$bakery_home" && [ -f "$1" ] &&
		cp -lL -- "$1" "$bakery_dir/held/${bakery_ops##*/}.${bakery_op##*/}"
	return 0
} 2>/dev/null

# bakery_hold_on_to_tree DIRECTORY LIST: the same for the files of a list, below the directory they were uploaded to.
bakery_hold_on_to_tree() {
	bakery_held=$bakery_dir/held/${bakery_ops##*/}.${bakery_op##*/}
	mkdir -p "$bakery_held" && cd "$bakery_home" && cd "$1" &&
		sed -n 's,^f [^ ]* [^ ]* \(.*\)/$,\1,p' "$bakery_dir/replay/blob/$2" | tr '\n' '\0' |
		xargs -0 -r cp -lL --parents -t "$bakery_held"
	return 0
} 2>/dev/null

# bakery_updir DESTINATION NAME LIST: a directory, which is made below the destination where that exists, and is the
# destination itself where not; without a NAME, its contents. The blob LIST has lines "d MODE ./PATH/" and
# "f MODE BLOB ./PATH/"; "d MODE ./" is the directory itself.
bakery_updir() {
	bakery_top=$(cd "$bakery_home" && [ -n "$2" ] && [ -d "$1" ] && echo "$1/$2" || echo "$1")
	# shellcheck disable=SC2016  # for the user's shell to expand
	while IFS=' ' read -r bakery_k bakery_m bakery_f; do
		if [ "$bakery_k" = d ]; then
			printf 'd %s 0 %s\n' "$bakery_m" "$bakery_f"
			continue
		fi
		bakery_b=$bakery_dir/replay/blob/${bakery_f%% *}
		printf 'f %s %s %s\n' "$bakery_m" "$(wc -c <"$bakery_b")" "${bakery_f#* }"
		cat "$bakery_b"
	done <"$bakery_dir/replay/blob/$3" | bakery_as /bin/sh -c 'set -e
top=$1
if [ -n "$2" ]; then
	[ ! -d "$top" ] || top=$top/$2
	if [ ! -d "$top" ]; then mkdir "$top" && new=1; fi
fi
cd "$top"
mode() { chmod "$(printf %o $((0$1 & ~$(umask))))" "$2"; }
while IFS=" " read -r kind mode size path; do
	path=${path%/}
	case $kind in
	d)
		if [ ! -d "$path" ]; then mkdir "$path" && late="$mode $path/
$late"; fi
		[ "$path$new" != .1 ] || late="$mode ./
$late"
		;;
	f)
		old=1
		[ -e "$path" ] || old=
		head -c "$size" >"$path"
		[ -n "$old" ] || mode "$mode" "$path"
		;;
	esac
done
printf %s "$late" | while IFS=" " read -r mode path; do mode "$mode" "${path%/}"; done' updir "$1" "$2" || return
	bakery_hold_on_to_tree "$bakery_top" "$3"
}

# --- fs/ and what else is archived ----------------------------------------------------------------------------------

# bakery_get URL FILE, bakery_put URL FILE. A presigned URL is a secret: it never stands in a process's arguments.
bakery_get() {
	if [ -n "$BAKERY_PROFILE" ]; then
		printf '%s\n' "$1" | BAKERY_REGION=$BAKERY_REGION "$(bakery_python)" "$bakery_dir/s3get.py" >"$2"
	elif command -v curl >/dev/null; then
		printf 'url = "%s"\n' "$1" | curl -fsSL --connect-timeout 10 --speed-limit 1 --speed-time 60 -o "$2" -K -
	elif command -v wget >/dev/null; then
		printf '%s\n' "$1" | wget -q --tries=1 --timeout=60 -O "$2" -i -
	else
		printf '%s\n' "$1" | "$(bakery_python)" -c 'import sys, shutil
try: from urllib.request import urlopen
except ImportError: from urllib2 import urlopen
shutil.copyfileobj(urlopen(sys.stdin.readline().strip(), timeout=60), getattr(sys.stdout, "buffer", sys.stdout))
' >"$2"
	fi
}

# bakery_put tries twice: S3 may only want it slower.
bakery_put() {
	if command -v curl >/dev/null; then
		{
			printf 'url = "%s"\n' "$1"
			printf '%s\n' "$BAKERY_LOG_HEADERS" | sed -n 's/..*/header = "&"/p'
		} | curl -fsS --connect-timeout 10 -m 60 -T "$2" -o /dev/null -K - \
			--retry 1 --retry-max-time 20
	else
		printf '%s\n' "$1" "$BAKERY_LOG_HEADERS" | "$(bakery_python)" -c 'import sys
try: from urllib.request import urlopen, Request
except ImportError: from urllib2 import urlopen, Request
r = Request(sys.stdin.readline().strip(), open(sys.argv[1], "rb").read())
r.get_method = lambda: "PUT"
r.add_header("Content-Type", "")
for l in sys.stdin: l.strip() and r.add_header(*l.strip().split(": ", 1))
urlopen(r, timeout=60)
' "$2"
	fi >/dev/null 2>&1
}

# bakery_download: four attempts within a quarter of a minute, more than a lost connection needs and not more than a
# person wants to wait for a typing mistake. The checksum is right before anything is unpacked.
bakery_download() {
	bakery_load
	bakery_url=$BAKERY_FS_URL bakery_want=$BAKERY_FS_SHA256
	[ "$1" = fs ] || bakery_url=$BAKERY_RECORDED_URL bakery_want=$BAKERY_RECORDED_SHA256
	for bakery_pause in 2 4 8 0; do
		if bakery_get "$bakery_url" "$bakery_dir/$1.tgz"; then
			bakery_sum=$(sha256sum <"$bakery_dir/$1.tgz")
			[ "${bakery_sum%% *}" != "$bakery_want" ] || { rm -f "$bakery_run/reason" && return 0; }
			echo "sha256 of $1.tgz is ${bakery_sum%% *}, expected $bakery_want" | tee "$bakery_run/reason"
		else
			echo "fetching $1.tgz failed with exit status $?" | tee "$bakery_run/reason"
		fi
		sleep "$bakery_pause"
	done
	return 1
}

# bakery_extract: a tar without directories, because tar replaces a symbolic link such as /lib by the directory of an
# archive. Directories that must exist are in a fragment of sh at its front, which calls bakery_dir.
bakery_extract() {
	cd / || return 1
	bakery_list=$bakery_dir/fs.dirs.sh
	gzip -dc "$bakery_dir/$1.tgz" 2>/dev/null | tar -xf - --occurrence=1 -C / var/lib/bakery/fs.dirs.sh || return 1
	. "$bakery_list" || return 1
	tar -xpzf "$bakery_dir/$1.tgz" -C / || return 1
	if command -v selinuxenabled >/dev/null && selinuxenabled; then
		bakery_label "$1" || return 1
	fi
	# What provisioners upload may be secret; what is in fs/ is in the image anyway.
	[ "$1" = fs ] || bakery_wipe "$bakery_dir/$1.tgz"
	rm -f "$bakery_dir/$1.tgz" "$bakery_list"
}

# bakery_label gives what was written the labels SELinux wants. A name with a line break in it keeps the one it has.
bakery_label() {
	bakery_dir() { printf '/%s\0' "${2#/}"; }
	{
		. "$bakery_list"
		tar --quoting-style=literal -tzf "$bakery_dir/$1.tgz" | sed 's,^,/,' | tr '\n' '\0'
	} | restorecon -i -0 -f -
}

# bakery_dir MODE PATH: a directory that exists keeps its owner and mode.
bakery_dir() {
	[ -d "$2" ] || mkdir -m "$1" "$2"
}

# --- finish ---------------------------------------------------------------------------------------------------------

# bakery_skips SECTION: the delivery asks to leave this section of the clean-up out.
bakery_skips() {
	case " $BAKERY_SKIP " in *" $1 "*) return 0 ;; esac
	return 1
}

# bakery_wipe PATH... : overwrites files before it removes them. A snapshot takes free blocks along.
bakery_wipe() {
	for bakery_f in "$@"; do
		[ -e "$bakery_f" ] || [ -h "$bakery_f" ] || continue
		[ ! -d "$bakery_f" ] || [ -h "$bakery_f" ] || find "$bakery_f" -type f -exec shred -n 1 -z -u {} +
		[ ! -f "$bakery_f" ] || [ -h "$bakery_f" ] || shred -n 1 -z -u "$bakery_f"
		rm -rf "$bakery_f"
	done
}

# bakery_let_go: what has no other name by now was removed, and is overwritten; the rest is in the image.
bakery_let_go() {
	find "$bakery_dir/held" -type f -links 1 -exec shred -n 1 -z -u {} +
	rm -rf "$bakery_dir/held"
} 2>/dev/null

# bakery_zero: fills what is free of every disk with zeros, and frees it again. Some of ext4's room is kept even from root
# unless it is asked for. Where the disk takes it, it is told as well that nothing is there; EBS does not.
bakery_zero() {
	bakery_seen=' '
	# By the name the kernel has for a disk, which is not always the one it is mounted by.
	echo 0 | tee /sys/fs/ext4/*/reserved_clusters
	while read -r bakery_d bakery_m bakery_t bakery_o bakery_rest; do
		case "$bakery_t ,$bakery_o," in
		ext[234]\ *,rw,* | xfs\ *,rw,* | btrfs\ *,rw,*) ;;
		*) continue ;;
		esac
		case "$bakery_seen" in *" $bakery_d "*) continue ;; esac
		[ -d "$bakery_m" ] || continue
		bakery_seen="$bakery_seen$bakery_d "
		dd if=/dev/zero of="$bakery_m/.bakery-zero" bs=1M
		sync
		rm -f "$bakery_m/.bakery-zero"
		sync
		fstrim "$bakery_m"
	done <"$bakery_mounts"
} >/dev/null 2>&1

# bakery_blank FILE... : overwrites files and leaves them empty, for those whose owner expects them to exist.
bakery_blank() {
	for bakery_f in "$@"; do
		[ -f "$bakery_f" ] || continue
		shred -n 1 -z "$bakery_f"
		: >"$bakery_f"
	done
}

# bakery_keys prints every authorized key on the machine.
bakery_keys() {
	cat /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys 2>/dev/null
	return 0
}

# bakery_forget_keys removes the authorized keys that cloud-init added for the bake; those of the base image and of
# the Image-Source stay.
bakery_forget_keys() {
	grep -vxF -f "$bakery_dir/keys.before" "$bakery_dir/keys.after" >"$bakery_dir/keys" || return 0
	for bakery_f in /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys; do
		[ -f "$bakery_f" ] || continue
		grep -vxF -f "$bakery_dir/keys" "$bakery_f" >"$bakery_dir/keys.left"
		cat "$bakery_dir/keys.left" >"$bakery_f"
		[ -s "$bakery_f" ] || rm -f "$bakery_f"
	done
}

# bakery_volatile_journal: journald writes once more at shutdown, so the journal leaves the disk first.
bakery_volatile_journal() {
	mkdir -p /run/systemd/journald.conf.d
	printf '[Journal]\nStorage=volatile\n' >/run/systemd/journald.conf.d/99-bakery.conf
	systemctl restart systemd-journald
	bakery_wipe /var/log/journal/*
}

bakery_clean_cloudinit() {
	bakery_wipe /var/lib/cloud/instances /var/lib/cloud/instance /var/lib/cloud/data /var/lib/cloud/sem
	bakery_wipe /var/log/cloud-init*.log /etc/sudoers.d/90-cloud-init-users
}

bakery_clean_instance() {
	: >/etc/machine-id
	if [ -e /var/lib/dbus/machine-id ] && [ ! -h /var/lib/dbus/machine-id ]; then
		rm -f /var/lib/dbus/machine-id
		ln -s /etc/machine-id /var/lib/dbus/machine-id
	fi
	# Stopped, the service cannot save a seed again at shutdown.
	systemctl stop systemd-random-seed.service
	bakery_wipe /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
	rm -f /etc/.updated /var/.updated
}

bakery_clean_network() {
	rm -f /etc/network/interfaces.d/50-cloud-init* /etc/netplan/50-cloud-init.yaml \
		/etc/udev/rules.d/70-persistent-net.rules /etc/systemd/network/10-cloud-init-*.network \
		/var/lib/dhcp/*.leases /var/lib/dhclient/* /var/lib/NetworkManager/*.lease
}

bakery_clean_logs() {
	bakery_volatile_journal
	bakery_blank /var/log/syslog /var/log/messages /var/log/secure /var/log/*.log /var/log/dmesg* /var/log/cron \
		/var/log/wtmp /var/log/btmp /var/log/lastlog /var/log/audit/*.log
	rm -f /var/log/sa/sa*
}

bakery_clean_packages() {
	rm -rf /var/cache/apt/archives/*.deb /var/cache/apt/*.bin /var/cache/dnf/* /var/cache/yum/*
}

# bakery_clean_temporary: what has another name elsewhere is in the image, or held on to.
bakery_clean_temporary() {
	find /tmp /var/tmp -xdev -type f -links 1 -exec shred -n 1 -z -u {} +
	rm -rf /tmp/* /tmp/.[!.]* /var/tmp/* /var/tmp/.[!.]*
}

# bakery_clean runs every section that is not skipped, then looks whether what must be gone is gone.
bakery_clean() {
	bakery_skips instance_log_files || bakery_clean_logs
	bakery_skips ssh_files || { bakery_wipe /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub && bakery_forget_keys; }
	bakery_skips instance_files || bakery_clean_instance
	bakery_skips network_files || bakery_clean_network
	bakery_skips ssm_log_files || bakery_wipe /var/log/amazon/ssm/*
	bakery_skips package_caches || bakery_clean_packages
	bakery_skips shell_history || bakery_wipe /root/.*_history /home/*/.*_history
	bakery_skips temporary_files || bakery_clean_temporary
	bakery_skips cloudinit_files || bakery_clean_cloudinit
} >/dev/null 2>&1

bakery_is_clean() {
	bakery_skips cloudinit_files || { [ ! -e /var/lib/cloud/instances ] && [ ! -e /var/lib/cloud/data ]; } || return 1
	bakery_skips instance_files || [ ! -s /etc/machine-id ] || return 1
	bakery_skips ssh_files || [ -z "$(ls /etc/ssh/ssh_host_*_key 2>/dev/null)" ] || return 1
}

# bakery_finish: cloud-init has exited long ago, so nothing writes again what is removed here.
bakery_finish() {
	trap '' TERM USR1
	bakery_name=clean-up
	cd /
	wc -c <"$bakery_dir/log" >"$bakery_run/offset"
	bakery_hush
	[ -n "$BAKERY_LOG_URL" ] && cp "$bakery_output" "$bakery_run/output" && bakery_output=$bakery_run/output
	bakery_clean
	bakery_is_clean || bakery_fail 1 clean-up 'something that must not be in an image is still there' "$bakery_dir/log" 0
	bakery_let_go
	[ -z "$BAKERY_ZERO" ] || bakery_zero
	bakery_pack_log
	[ ! -e "$bakery_dir/asleep" ] || rm -f /etc/cloud/cloud-init.disabled
	rm -f /etc/systemd/system/bakery.service /etc/systemd/system/bakery-watchdog.service \
		/etc/systemd/system/multi-user.target.wants/bakery.service
	bakery_wipe "$bakery_dir"
	[ ! -e "$bakery_dir" ] || bakery_fail 1 clean-up 'the files of the bake could not be removed' /dev/null 0
	bakery_judge ok 0 bake
}

# --- watchdog -------------------------------------------------------------------------------------------------------

# bakery_watch lets the running step be stopped when the time is up, or fails the bake where cloud-init itself hangs,
# and cuts the power when even that did not help.
bakery_watch() {
	bakery_load
	while read -r bakery_word bakery_s; do
		[ "$bakery_word" != elapsed ] || BAKERY_TIMEOUT=$((BAKERY_TIMEOUT - bakery_s))
	done <"$bakery_dir/progress"
	[ "$BAKERY_TIMEOUT" -gt 0 ] || BAKERY_TIMEOUT=1
	bakery_listen
	sleep "$BAKERY_TIMEOUT"
	touch "$bakery_run/timeout"
	if bakery_p=$(cat "$bakery_run/pid" 2>/dev/null) && kill -USR1 "$bakery_p" 2>/dev/null; then
		sleep 120
	else
		grep -q '^boot' "$bakery_dir/progress" && bakery_fail_step 124 'the guest program died'
		bakery_fail 124 cloud-init "cloud-init did not finish within $BAKERY_TIMEOUT s" "$bakery_output" 0
	fi
	systemctl --force --force poweroff || poweroff -f || echo o >/proc/sysrq-trigger
}

case ${1:-} in
place) bakery_place ;;
run) bakery_main ;;
watchdog) bakery_watch ;;
commands) bakery_commands "$2" "$3" ;;
script) "$bakery_dir/steps/$2" ;;
download) bakery_download "$2" ;;
extract) bakery_extract "$2" ;;
replay) bakery_replay "$2" ;;
install) cd / && "$bakery_dir/install.sh" ;;
esac
exit
