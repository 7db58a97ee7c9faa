#!/bin/sh
# shellcheck disable=SC1090,SC1091,SC2317  # files that exist on the machine only; functions called from traps and files
#
# The guest program: bakes the machine it runs on, reports to the console, and powers off.
#
#   bakery.sh setup      called by a boothook before anything else: installs and starts the two services
#   bakery.sh run        bakery.service: runs every step, then prints the verdict; continues after a reboot
#   bakery.sh watchdog   bakery-watchdog.service: ends a bake that takes too long
#   bakery.sh commands DIR N, replay DIR, download NAME, extract NAME, install
#                        one step each, every step in its own session
#
# POSIX sh. It needs only coreutils, util-linux, tar, gzip and the Python that runs cloud-init.
# Every name begins with bakery_, because the commands of a part run in the same shell as this file.

bakery_dir=/var/lib/bakery # survives a reboot; removed at the end
bakery_run=/run/bakery     # tmpfs: writable when the disk is full
bakery_console=/dev/console
bakery_cloud=/run/cloud-init
bakery_output=/var/log/cloud-init-output.log
bakery_mounts=/proc/mounts

# --- reports --------------------------------------------------------------------------------------------------------

# bakery_report KIND WORD... : prints one short line with a checksum. It needs the checksum because the kernel and
# systemd write to the console too.
bakery_report() {
	bakery_compose "$@"
	bakery_print "$bakery_line"
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

# bakery_print LINE... : prints each report on a console line of its own.
bakery_print() {
	{ printf '\r\n%s\r\n' "$@" >"$bakery_console"; } 2>/dev/null
	return 0
}

# --- progress: an append-only file of "boot", "start N", "end N", "elapsed SECONDS" and "reboot N" ------------------

bakery_record() {
	echo "$*" >>"$bakery_dir/progress"
}

# bakery_current_step prints the number of the step that began last.
bakery_current_step() {
	sed -n 's/^start //p' "$bakery_dir/progress" | tail -n 1 | grep . || echo 0
}

# bakery_read_step N: sets kind, file and name from line N of the list of steps; fails after the last line.
bakery_read_step() {
	bakery_rest=$(sed -n "${1}p" "$bakery_dir/units")
	bakery_kind=${bakery_rest%% *}
	bakery_rest=${bakery_rest#* }
	bakery_file=${bakery_rest%% *}
	bakery_name=${bakery_rest#* }
	[ -n "$bakery_kind" ]
}

# bakery_begin_step N, bakery_end_step N: record and report one step. A step that cannot be recorded does not begin:
# after a reboot it would run twice.
bakery_begin_step() {
	bakery_reserve
	wc -c <"$bakery_dir/log" >"$bakery_run/offset"
	bakery_record start "$1" || return 1
	bakery_report start "$1" "$bakery_name"
}

bakery_end_step() {
	bakery_record end "$1" || return 1
	bakery_report end "$1" 0 "$bakery_name"
	bakery_wait_for_shutdown
}

# bakery_reserve allocates space after the end of the log and the progress, so that a full disk can still be reported.
bakery_reserve() {
	for bakery_f in log progress; do
		fallocate -n -o "$(wc -c <"$bakery_dir/$bakery_f")" -l 65536 "$bakery_dir/$bakery_f"
	done >/dev/null 2>&1
	return 0
}

# bakery_wait_for_shutdown does not return when the machine is about to reboot or power off. The next step must not
# begin then: a step that a reboot interrupts counts as ended.
bakery_wait_for_shutdown() {
	while bakery_is_shutting_down; do
		sleep 1
	done
}

bakery_is_shutting_down() {
	grep -qs '^MODE=reboot' /run/systemd/shutdown/scheduled && return 0
	[ "$(systemctl is-system-running 2>/dev/null)" != stopping ] || return 0
	case $(busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager \
		PreparingForShutdown 2>/dev/null) in
	*true*) return 0 ;;
	esac
	return 1
}

# --- the end of a bake ----------------------------------------------------------------------------------------------

# bakery_fail CODE NAME REASON FILE OFFSET : reports the last lines, the reason and the verdict, and powers off.
bakery_fail() {
	trap '' TERM USR1
	bakery_stop_streaming
	if [ -e "$bakery_dir/log_stream.py" ]; then
		(bakery_exec_log_stream tail "$4" "$5") || bakery_report warn 'the last lines could not be sent'
	else
		tail -c "+$(($5 + 1))" "$4" 2>/dev/null | tr -d '\000' | tr '\r' '\n' | grep -v '^@bakery ' | tail -n 40 |
			while IFS= read -r bakery_l || [ -n "$bakery_l" ]; do
				bakery_report tail "$bakery_l"
			done
	fi
	[ -z "$3" ] || bakery_report reason "$3"
	bakery_pack_log
	bakery_verdict fail "$1" "$2"
}

# bakery_fail_step CODE REASON : fails the bake with the step that began last.
bakery_fail_step() {
	bakery_read_step "$(bakery_current_step)" || bakery_name='guest program'
	bakery_fail "$1" "$bakery_name" "$2" "$bakery_dir/log" "$(cat "$bakery_run/offset" 2>/dev/null || echo 0)"
}

# bakery_power_off prints the verdict as the last report, three times, because without it the bake is lost. It does not
# ask logind, whose inhibitors may delay or refuse a power-off.
bakery_power_off() {
	sync
	bakery_print "$bakery_verdict_line" "$bakery_verdict_line" "$bakery_verdict_line"
	[ -z "${bakery_powering_off:-}" ] || exit 0
	# systemd stops this service too while it shuts down; there is nothing left to do then.
	trap 'exit 0' TERM
	systemctl --no-block --job-mode=replace-irreversibly start poweroff.target ||
		systemctl --no-block poweroff || poweroff
	sleep 120 &
	wait
	systemctl --force poweroff || poweroff -f
	exit 0
}

# bakery_verdict WORD... : uploads the log, prints the verdict and powers off. The verdict is not printed or uploaded
# earlier, while it can still change.
bakery_verdict() {
	bakery_compose verdict "$@"
	bakery_verdict_line=$bakery_line
	if [ -n "$BAKERY_LOG_URL" ]; then
		# gzip files can be concatenated.
		echo "$bakery_verdict_line" | gzip >>"$bakery_run/log.gz"
		bakery_put "$BAKERY_LOG_URL" "$bakery_run/log.gz" || bakery_report warn 'the log could not be uploaded'
	fi 2>/dev/null
	bakery_power_off
}

# bakery_pack_log compresses the log for its upload, in the format of log_stream.py, without the verdict. It does so
# only once: when the clean-up fails late, the log on the disk is already gone.
bakery_pack_log() {
	[ -n "$BAKERY_LOG_URL" ] && [ ! -e "$bakery_run/log.gz" ] || return 0
	{
		echo "@bakery-lines $BAKERY_ID 0 1 1"
		cat "$bakery_output"
		echo "@bakery-lines $BAKERY_ID 1 1 1"
		cat "$bakery_dir/log"
	} 2>/dev/null | gzip >"$bakery_run/log.gz"
}

# --- the live log: what the steps print, sent while they run --------------------------------------------------------

# bakery_exec_log_stream WORD... : executes log_stream.py. Secrets go through its environment, not its arguments.
bakery_exec_log_stream() {
	export BAKERY_ID BAKERY_KEY BAKERY_LOG_URL BAKERY_LOG_HEADERS
	exec "$(bakery_python)" "$bakery_dir/log_stream.py" "$@" </dev/null
}

# bakery_start_streaming starts the live log in the background.
bakery_start_streaming() {
	[ -n "$BAKERY_LIVE" ] || return 0
	(bakery_exec_log_stream "$BAKERY_LIVE") &
	echo $! >"$bakery_run/log_stream.pid"
}

# bakery_stop_streaming asks the live log to send its last lines and to exit, and kills it after a second.
bakery_stop_streaming() {
	for bakery_i in 15 0 0 0 0 0 0 0 0 9; do
		bakery_p=$(cat "$bakery_run/log_stream.pid") && grep -q log_stream.py "/proc/$bakery_p/cmdline" || return 0
		kill "-$bakery_i" "$bakery_p"
		sleep 0.1
	done
} 2>/dev/null

# --- cloud-init's own result ----------------------------------------------------------------------------------------

# bakery_python prints the interpreter that runs cloud-init; on RHEL 8 it is not in PATH.
bakery_python() {
	bakery_p=$(command -v cloud-init 2>/dev/null) &&
		bakery_p=$(sed -n '1s/^#! *\([^ ]*python[^ ]*\).*/\1/p' "$bakery_p")
	for bakery_p in "$bakery_p" python3 /usr/libexec/platform-python python; do
		[ -n "$bakery_p" ] && command -v "$bakery_p" && return 0
	done
	return 1
}

# bakery_wait_for_cloud_init waits until cloud-init has exited. This service starts after cloud-final.service; from
# cloud-init 24.3 on, the process that does the work is another one and may exit a moment later.
bakery_wait_for_cloud_init() {
	bakery_i=0
	while [ "$bakery_i" -lt 60 ]; do
		[ -s "$bakery_cloud/result.json" ] &&
			[ "$(systemctl show -p SubState cloud-init-main.service 2>/dev/null)" != SubState=running ] && return 0
		bakery_i=$((bakery_i + 1))
		sleep 1
	done
	[ -s "$bakery_cloud/result.json" ]
}

# bakery_check_cloud_init fails the bake for errors of the modules that the bake configured. Errors of other modules
# come from the base image, and are reported as warnings.
bakery_check_cloud_init() {
	bakery_wait_for_cloud_init ||
		bakery_fail 1 cloud-init 'cloud-init did not finish: it left no result.json' "$bakery_output" 0
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

# bakery_setup installs and starts the services. DefaultDependencies=no: otherwise multi-user.target would wait for
# bakery.service, which waits for cloud-final.service, which on Debian and Ubuntu waits for multi-user.target.
# OOMPolicy=continue: when the kernel kills a step because memory is short, systemd would otherwise stop the service. No
# daemon-reload unless the start fails: systemd reads a new unit file without one, and a reload during boot is a risk.
bakery_setup() {
	umask 022
	bakery_load_env
	if [ ! -e "$bakery_dir/installed" ]; then
		bakery_merge_steps
		bakery_list_keys >"$bakery_dir/keys.before"
		bakery_after='sysinit.target basic.target network-online.target cloud-final.service cloud-init-main.service'
		bakery_service_file run "After=$bakery_after" >/etc/systemd/system/bakery.service
		bakery_service_file watchdog '' >/etc/systemd/system/bakery-watchdog.service
		mkdir -p /etc/systemd/system/multi-user.target.wants
		ln -sf ../bakery.service /etc/systemd/system/multi-user.target.wants/bakery.service
		# cloud-init is about to write this file again, which would free its blocks with the user data still in them.
		# Under another name, the file stays, and the clean-up overwrites it.
		mv /var/lib/cloud/instance/obj.pkl /var/lib/cloud/instance/obj.pkl.bakery
		touch "$bakery_dir/installed"
	fi
	systemctl --no-block start bakery-watchdog.service bakery.service ||
		{ systemctl daemon-reload && systemctl --no-block start bakery-watchdog.service bakery.service; }
}

# bakery_merge_steps inserts the steps of the delivery into the list of steps of the document.
bakery_merge_steps() {
	cd "$bakery_dir" || return 1
	{
		cat units.first
		sed -e '/^recorded /{' -e 'r units.recorded' -e 'd' -e '}' units
		cat units.last
	} >units.all 2>/dev/null
	mv units.all units
}

bakery_service_file() {
	printf '%s\n' '[Unit]' "Description=Bakery $1" DefaultDependencies=no "$2" Conflicts=shutdown.target \
		Before=shutdown.target Wants=bakery-watchdog.service '[Service]' Environment=HOME=/root Environment=USER=root \
		Environment=LOGNAME=root "ExecStart=/bin/sh $bakery_dir/bakery.sh $1" StandardInput=null StandardOutput=null \
		StandardError=null KillMode=mixed TimeoutStopSec=120 OOMPolicy=continue
}

# --- running the steps ----------------------------------------------------------------------------------------------

bakery_load_env() {
	BAKERY_ID=none BAKERY_TIMEOUT=3600 BAKERY_LOG_URL='' BAKERY_LOG_HEADERS='' BAKERY_ZERO='' BAKERY_FS_URL=''
	BAKERY_PROFILE='' BAKERY_SKIP='' BAKERY_MODULES='' BAKERY_FS_SHA256='' BAKERY_REGION='' BAKERY_USER=root
	BAKERY_RECORDED_URL='' BAKERY_RECORDED_SHA256='' BAKERY_LIVE='' BAKERY_KEY=''
	. "$bakery_dir/env"
	[ ! -r "$bakery_dir/delivery" ] || . "$bakery_dir/delivery"
	(umask 077 && mkdir -p "$bakery_run" && echo "$BAKERY_ID" >"$bakery_run/id")
	touch "$bakery_dir/log" "$bakery_dir/progress"
}

# Python code that executes the program it is given in a new session, with all signals at their defaults: systemd
# ignores SIGPIPE for services, a shell ignores SIGINT and SIGQUIT for background jobs, and no shell can reset a signal
# that was ignored when it started.
bakery_detach='import os, signal, sys
for s in range(1, signal.NSIG): signal.getsignal(s) == signal.SIG_IGN and signal.signal(s, signal.SIG_DFL)
os.setsid()
os.execv(sys.argv[1], sys.argv[1:])'

# bakery_run_step WORD... : runs this program again for a step, in a new session, with its output in the log. A signal
# ends the wait but not the step, so it waits again until the step has ended.
bakery_run_step() {
	"$(bakery_python)" -c "$bakery_detach" /bin/sh "$bakery_dir/bakery.sh" "$@" </dev/null >>"$bakery_dir/log" 2>&1 &
	bakery_pid=$!
	# The timeout may have come before there was a step to stop.
	[ ! -e "$bakery_run/timeout" ] || bakery_on_timeout
	bakery_code=0
	while :; do
		wait "$bakery_pid"
		bakery_code=$?
		kill -0 "$bakery_pid" 2>/dev/null || break
	done
	bakery_pid=''
	[ ! -e "$bakery_run/timeout" ] ||
		bakery_fail_step 124 "it was stopped: the machine's time, $BAKERY_TIMEOUT s, was up"
	[ "$bakery_code" = 0 ] || bakery_fail_step "$bakery_code" "$(cat "$bakery_run/reason" 2>/dev/null)"
}

# bakery_on_timeout handles USR1, which the watchdog sends: it kills the running step.
bakery_on_timeout() {
	[ -n "${bakery_pid:-}" ] || return 0
	kill -TERM "-$bakery_pid"
	sleep 2
	kill -KILL "-$bakery_pid"
} 2>/dev/null

# bakery_on_term handles TERM, which systemd sends at shutdown. A reboot is part of a bake, a power-off is not.
bakery_on_term() {
	trap '' TERM USR1
	# Kill the step first: it must not continue after its reboot is recorded.
	[ -z "${bakery_pid:-}" ] || kill -KILL "-$bakery_pid" 2>/dev/null
	if systemctl list-jobs --no-legend 2>/dev/null | grep -Eq '(^| )(reboot|kexec|soft-reboot)\.target '; then
		bakery_disable_cloud_init
		[ ! -e "$bakery_run/busy" ] ||
			bakery_report warn 'the reboot cut off a command of a provisioner, which counts as ended'
		bakery_record elapsed $(($(date +%s) - bakery_started))
		bakery_record reboot "$(bakery_current_step)"
		sync
		exit 0
	fi
	bakery_powering_off=1
	bakery_fail_step 143 'the machine was powered off while this step was running'
}

bakery_main() {
	bakery_load_env
	bakery_started=$(date +%s)
	trap bakery_on_term TERM
	trap bakery_on_timeout USR1
	echo $$ >"$bakery_run/pid"
	rm -f "$bakery_run/reason"
	bakery_last=$(tail -n 1 "$bakery_dir/progress")
	bakery_boot=$(grep -c '^boot' "$bakery_dir/progress")
	echo "$((bakery_boot * 10000))" >"$bakery_run/seq"
	bakery_record boot || bakery_fail_step 1 'its progress cannot be written: is the disk full?'
	case $bakery_last in
	'')
		bakery_report begin "$(wc -l <"$bakery_dir/units" | tr -d ' ')"
		bakery_list_keys >"$bakery_dir/keys.after"
		bakery_check_cloud_init
		;;
	reboot*) bakery_report boot "$((bakery_boot + 1))" ;;
	*) bakery_fail_step 1 'the machine restarted in its middle without shutting down' ;;
	esac
	bakery_n=$(bakery_current_step)
	bakery_has_operations_left "$bakery_n" || bakery_n=$((bakery_n + 1))
	while bakery_read_step "$bakery_n"; do
		bakery_next_step
	done
	bakery_finish
}

# bakery_disable_cloud_init keeps cloud-init from running at later boots of the bake. It would write the user data to
# the disk again, in other blocks, and leave the first copy in free blocks.
bakery_disable_cloud_init() {
	[ ! -e /etc/cloud/cloud-init.disabled ] || return 0
	touch /etc/cloud/cloud-init.disabled "$bakery_dir/cloud-init.disabled"
}

# bakery_next_step runs step n, or the commands of one part from step n on, and sets n to the step after it.
bakery_next_step() {
	if [ "$bakery_kind" = command ]; then
		bakery_run_step commands "${bakery_file%/*}" "$bakery_n"
		# An exit in one of the commands keeps the later ones from running: their begin is not recorded.
		bakery_dirs=${bakery_file%/*}
		while bakery_read_step "$bakery_n" && [ "$bakery_kind" = command ] &&
			[ "${bakery_file%/*}" = "$bakery_dirs" ]; do
			bakery_n=$((bakery_n + 1))
		done
		[ "$(bakery_current_step)" = $((bakery_n - 1)) ] ||
			bakery_fail_step 0 'it ended the shell, which kept the commands after it from running'
		# An exit in the last command keeps nothing from running, but its end is not yet reported.
		grep -qx "end $(bakery_current_step)" "$bakery_dir/progress" ||
			{ bakery_read_step "$(bakery_current_step)" && bakery_end_step "$(bakery_current_step)"; }
		return 0
	fi
	bakery_begin_step "$bakery_n" || bakery_fail_step 1 'its progress cannot be written: is the disk full?'
	bakery_run_step "$bakery_kind" "$bakery_file"
	bakery_end_step "$bakery_n" || bakery_fail_step 1 'its progress cannot be written: is the disk full?'
	bakery_n=$((bakery_n + 1))
}

# bakery_commands DIR N: runs the commands of one part, in one shell, from step N on. Steps are recorded in subshells
# with default options, because a command may have changed IFS or the options for the commands after it.
bakery_commands() {
	__bakery_part=$1 __bakery_n=$2
	set --
	while bakery_read_step "$__bakery_n" && [ "$bakery_kind" = command ] &&
		[ "${bakery_file%/*}" = "$__bakery_part" ]; do
		(unset IFS && set +efuC && bakery_begin_step "$__bakery_n") || exit 1
		. "$bakery_dir/steps/$bakery_file"
		__bakery_code=$?
		[ "$__bakery_code" = 0 ] || exit "$__bakery_code"
		bakery_read_step "$__bakery_n"
		(unset IFS && set +efuC && bakery_end_step "$__bakery_n") || exit 1
		__bakery_n=$((__bakery_n + 1))
	done
}

# --- recorded provisioners ------------------------------------------------------------------------------------------

# bakery_replay DIR: runs the operations of one provisioner, in order, from the first that has not begun. An operation
# that a reboot interrupts counts as ended, and the next one follows, as over SSH.
bakery_replay() {
	bakery_load_env
	bakery_lookup_user || return 1
	bakery_ops=$bakery_dir/replay/$1
	bakery_done=$(cat "$bakery_ops/at" 2>/dev/null || echo 0)
	for bakery_op in "$bakery_ops"/[0-9]*; do
		[ "${bakery_op##*/}" -gt "$bakery_done" ] || continue
		echo "${bakery_op##*/}" >"$bakery_ops/at" || return 1
		# A ~ in a destination means HOME.
		(HOME=$bakery_home && . "$bakery_op") || return
	done
}

# bakery_has_operations_left N: succeeds when step N is a provisioner with operations that have not begun.
bakery_has_operations_left() {
	bakery_read_step "$1" && [ "$bakery_kind" = replay ] || return 1
	bakery_ops=$bakery_dir/replay/$bakery_file
	set -- "$bakery_ops"/[0-9]*
	shift $(($# - 1))
	[ "${1##*/}" -gt "$(cat "$bakery_ops/at" 2>/dev/null || echo 0)" ]
} 2>/dev/null

# bakery_lookup_user sets home, shell and umask of the user that Packer would have logged in as.
bakery_lookup_user() {
	bakery_pw=$(getent passwd "$BAKERY_USER") || {
		echo "user $BAKERY_USER, who is to run the provisioners, does not exist here: set ssh_username or run_as" |
			tee "$bakery_run/reason"
		return 1
	}
	bakery_home=$(echo "$bakery_pw" | cut -d : -f 6)
	bakery_shell=$(echo "$bakery_pw" | cut -d : -f 7)
	: "${bakery_shell:=/bin/sh}"
	bakery_find_umask
}

# bakery_find_umask sets the umask of the user's session. On Ubuntu, RHEL and newer Debian, pam_umask reads it from
# login.defs, and a user whose group has the same name gets 002 instead of 022.
bakery_find_umask() {
	bakery_umask=022
	grep -qs '^-*session.*pam_umask' /etc/pam.d/sshd /etc/pam.d/common-session /etc/pam.d/postlogin || return 0
	bakery_m=$(sed -n 's/^UMASK[[:blank:]]*\([0-7][0-7]*\).*/\1/p' /etc/login.defs)
	bakery_umask=${bakery_m:-022}
	[ "$BAKERY_USER" != root ] && [ "$(id -gn "$BAKERY_USER")" = "$BAKERY_USER" ] &&
		grep -q '^USERGROUPS_ENAB[[:blank:]]*yes' /etc/login.defs || return 0
	bakery_umask=$(printf %03o $((0$bakery_umask & ~070 | 0$bakery_umask >> 3 & 070)))
}

# bakery_run_as_user WORD... : runs a program as sshd would for that user: in the home directory, with only the
# environment of its session. With SSH_CLIENT set, bash reads ~/.bashrc, as it does for a command over SSH.
bakery_run_as_user() {
	bakery_path=/usr/local/bin:/usr/bin:/bin:/usr/games
	[ "$BAKERY_USER" != root ] || bakery_path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	bakery_exec_with_env "$@"
}

# bakery_exec_with_env WORD... : adds what pam_env adds to a session: /etc/environment, and the locale on Debian.
bakery_exec_with_env() {
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
	# Move the words of the program after those of the environment.
	while [ "$bakery_words" -gt 0 ]; do
		set -- "$@" "$1"
		shift
		bakery_words=$((bakery_words - 1))
	done
	set -- env -i "$@"
	[ "$BAKERY_USER" = root ] || set -- runuser -u "$BAKERY_USER" -- "$@"
	(umask "$bakery_umask" && { cd "$bakery_home" || cd /; } && exec "$@")
}

# bakery_command COMMAND, bakery_try COMMAND: run a command of a provisioner. bakery_try ignores the exit status, as
# the shell provisioner does for its chmod.
bakery_command() {
	touch "$bakery_run/busy"
	bakery_run_as_user "$bakery_shell" -c "$1"
	bakery_code=$?
	rm -f "$bakery_run/busy"
	bakery_wait_for_shutdown
	return "$bakery_code"
}

bakery_try() {
	bakery_run_as_user "$bakery_shell" -c "$1" || :
}

# bakery_pause SECONDS: waits where Packer has waited, for a reboot or for what an earlier provisioner left running.
bakery_pause() {
	sleep "$1"
	bakery_wait_for_shutdown
}

# bakery_upload BLOB MODE DESTINATION: writes a file as the login user, as scp does: a file that exists keeps its mode.
bakery_upload() {
	# shellcheck disable=SC2016  # for the user's shell to expand
	bakery_run_as_user /bin/sh -c 'if [ -e "$2" ]; then exec cat >"$2"; fi
cat >"$2" && chmod "$(printf %o $((0$1 & ~$(umask))))" "$2"' upload "$2" "$3" <"$bakery_dir/replay/blob/$1" || return
	bakery_keep_link "$3"
}

# bakery_keep_link FILE: makes a hard link to an uploaded file. When a provisioner removes its script, the link keeps
# the blocks, so that the clean-up can overwrite them.
bakery_keep_link() {
	mkdir -p "$bakery_dir/links" && cd "$bakery_home" && [ -f "$1" ] &&
		cp -lL -- "$1" "$bakery_dir/links/${bakery_ops##*/}.${bakery_op##*/}"
	return 0
} 2>/dev/null

# bakery_keep_tree_links DIRECTORY LIST: the same for the files of a list, below the directory they were uploaded to.
bakery_keep_tree_links() {
	bakery_links=$bakery_dir/links/${bakery_ops##*/}.${bakery_op##*/}
	mkdir -p "$bakery_links" && cd "$bakery_home" && cd "$1" &&
		sed -n 's,^f [^ ]* [^ ]* \(.*\)/$,\1,p' "$bakery_dir/replay/blob/$2" | tr '\n' '\0' |
		xargs -0 -r cp -lL --parents -t "$bakery_links"
	return 0
} 2>/dev/null

# bakery_updir DESTINATION NAME LIST: writes a directory. When the destination exists, the directory goes below it, else
# it becomes the destination. Without a NAME, only its contents are written. The blob LIST has lines "d MODE ./PATH/"
# and "f MODE BLOB ./PATH/"; "d MODE ./" is the directory itself.
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
	done <"$bakery_dir/replay/blob/$3" | bakery_run_as_user /bin/sh -c 'set -e
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
	bakery_keep_tree_links "$bakery_top" "$3"
}

# --- download and extract the archives ------------------------------------------------------------------------------

# bakery_get URL FILE, bakery_put URL FILE: download and upload. A presigned URL is a secret, so it is never an argument
# of a process.
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

# bakery_put tries twice, because S3 may throttle the first request.
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

# bakery_download NAME: downloads an archive and compares its checksum. It makes four attempts within a quarter of a
# minute: enough for a lost connection, and not too long for a person who has mistyped the URL.
bakery_download() {
	bakery_load_env
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

# bakery_extract NAME: unpacks an archive over /. It has no entries for directories, because tar would replace a
# symbolic link such as /lib by the directory of the archive. Its first entry is a fragment of sh, which calls
# bakery_dir for each directory that must exist.
bakery_extract() {
	cd / || return 1
	bakery_list=$bakery_dir/fs.dirs.sh
	gzip -dc "$bakery_dir/$1.tgz" 2>/dev/null | tar -xf - --occurrence=1 -C / var/lib/bakery/fs.dirs.sh || return 1
	. "$bakery_list" || return 1
	tar -xpzf "$bakery_dir/$1.tgz" -C / || return 1
	if command -v selinuxenabled >/dev/null && selinuxenabled; then
		bakery_restore_labels "$1" || return 1
	fi
	# The uploads of provisioners may be secret; the contents of fs/ are in the image anyway.
	[ "$1" = fs ] || bakery_wipe "$bakery_dir/$1.tgz"
	rm -f "$bakery_dir/$1.tgz" "$bakery_list"
}

# bakery_restore_labels sets the SELinux labels of what was unpacked. A file with a line break in its name is left out.
bakery_restore_labels() {
	bakery_dir() { printf '/%s\0' "${2#/}"; }
	{
		. "$bakery_list"
		tar --quoting-style=literal -tzf "$bakery_dir/$1.tgz" | sed 's,^,/,' | tr '\n' '\0'
	} | restorecon -i -0 -f -
}

# bakery_dir MODE PATH: makes a directory; one that exists keeps its owner and mode.
bakery_dir() {
	[ -d "$2" ] || mkdir -m "$1" "$2"
}

# --- finish ---------------------------------------------------------------------------------------------------------

# bakery_is_skipped SECTION: succeeds when the delivery skips this section of the clean-up.
bakery_is_skipped() {
	case " $BAKERY_SKIP " in *" $1 "*) return 0 ;; esac
	return 1
}

# bakery_wipe PATH... : overwrites files before it removes them, because a snapshot also copies free blocks.
bakery_wipe() {
	for bakery_f in "$@"; do
		[ -e "$bakery_f" ] || [ -h "$bakery_f" ] || continue
		[ ! -d "$bakery_f" ] || [ -h "$bakery_f" ] || find "$bakery_f" -type f -exec shred -n 1 -z -u {} +
		[ ! -f "$bakery_f" ] || [ -h "$bakery_f" ] || shred -n 1 -z -u "$bakery_f"
		rm -rf "$bakery_f"
	done
}

# bakery_shred_removed overwrites the uploads that were removed: those whose only name is the link of bakery_keep_link.
# The others are in the image.
bakery_shred_removed() {
	find "$bakery_dir/links" -type f -links 1 -exec shred -n 1 -z -u {} +
	rm -rf "$bakery_dir/links"
} 2>/dev/null

# bakery_wipe_free_space fills the free space of every disk with zeros, and frees it again. ext4 reserves some clusters
# even from root, so they are released first. fstrim then discards the blocks on disks that support it; EBS does not.
bakery_wipe_free_space() {
	bakery_seen=' '
	# All disks: the name of a disk in /sys may differ from its name in /proc/mounts.
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

# bakery_wipe_content FILE... : overwrites files and leaves them empty, because the programs that own them need them.
bakery_wipe_content() {
	for bakery_f in "$@"; do
		[ -f "$bakery_f" ] || continue
		shred -n 1 -z "$bakery_f"
		: >"$bakery_f"
	done
}

# bakery_list_keys prints every authorized key on the machine.
bakery_list_keys() {
	cat /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys 2>/dev/null
	return 0
}

# bakery_remove_bake_keys removes the authorized keys that cloud-init added for the bake. Those of the base image and
# of the Image-Source stay.
bakery_remove_bake_keys() {
	grep -vxF -f "$bakery_dir/keys.before" "$bakery_dir/keys.after" >"$bakery_dir/keys" || return 0
	for bakery_f in /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys; do
		[ -f "$bakery_f" ] || continue
		grep -vxF -f "$bakery_dir/keys" "$bakery_f" >"$bakery_dir/keys.left"
		cat "$bakery_dir/keys.left" >"$bakery_f"
		[ -s "$bakery_f" ] || rm -f "$bakery_f"
	done
}

# bakery_volatile_journal moves the journal to memory, because journald writes once more at shutdown.
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
	# A stopped service does not save a seed again at shutdown.
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
	bakery_wipe_content /var/log/syslog /var/log/messages /var/log/secure /var/log/*.log /var/log/dmesg* /var/log/cron \
		/var/log/wtmp /var/log/btmp /var/log/lastlog /var/log/audit/*.log
	rm -f /var/log/sa/sa*
}

bakery_clean_packages() {
	rm -rf /var/cache/apt/archives/*.deb /var/cache/apt/*.bin /var/cache/dnf/* /var/cache/yum/*
}

# bakery_clean_temporary overwrites and removes temporary files. A file with another hard link is only removed: it is in
# the image, or bakery_shred_removed overwrites it.
bakery_clean_temporary() {
	find /tmp /var/tmp -xdev -type f -links 1 -exec shred -n 1 -z -u {} +
	rm -rf /tmp/* /tmp/.[!.]* /var/tmp/* /var/tmp/.[!.]*
}

# bakery_clean runs every section of the clean-up that is not skipped.
bakery_clean() {
	bakery_is_skipped instance_log_files || bakery_clean_logs
	bakery_is_skipped ssh_files ||
		{ bakery_wipe /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub && bakery_remove_bake_keys; }
	bakery_is_skipped instance_files || bakery_clean_instance
	bakery_is_skipped network_files || bakery_clean_network
	bakery_is_skipped ssm_log_files || bakery_wipe /var/log/amazon/ssm/*
	bakery_is_skipped package_caches || bakery_clean_packages
	bakery_is_skipped shell_history || bakery_wipe /root/.*_history /home/*/.*_history
	bakery_is_skipped temporary_files || bakery_clean_temporary
	bakery_is_skipped cloudinit_files || bakery_clean_cloudinit
} >/dev/null 2>&1

# bakery_is_clean checks that what must not be in an image is gone.
bakery_is_clean() {
	bakery_is_skipped cloudinit_files ||
		{ [ ! -e /var/lib/cloud/instances ] && [ ! -e /var/lib/cloud/data ]; } || return 1
	bakery_is_skipped instance_files || [ ! -s /etc/machine-id ] || return 1
	bakery_is_skipped ssh_files || [ -z "$(ls /etc/ssh/ssh_host_*_key 2>/dev/null)" ] || return 1
}

# bakery_finish cleans up and prints the verdict. cloud-init has exited by now, so it does not write the removed files
# again.
bakery_finish() {
	trap '' TERM USR1
	bakery_name=clean-up
	cd /
	wc -c <"$bakery_dir/log" >"$bakery_run/offset"
	bakery_stop_streaming
	[ -n "$BAKERY_LOG_URL" ] && cp "$bakery_output" "$bakery_run/output" && bakery_output=$bakery_run/output
	bakery_clean
	bakery_is_clean ||
		bakery_fail 1 clean-up 'something that must not be in an image is still there' "$bakery_dir/log" 0
	bakery_shred_removed
	[ -z "$BAKERY_ZERO" ] || bakery_wipe_free_space
	bakery_pack_log
	[ ! -e "$bakery_dir/cloud-init.disabled" ] || rm -f /etc/cloud/cloud-init.disabled
	rm -f /etc/systemd/system/bakery.service /etc/systemd/system/bakery-watchdog.service \
		/etc/systemd/system/multi-user.target.wants/bakery.service
	bakery_wipe "$bakery_dir"
	[ ! -e "$bakery_dir" ] || bakery_fail 1 clean-up 'the files of the bake could not be removed' /dev/null 0
	bakery_verdict ok 0 bake
}

# --- watchdog -------------------------------------------------------------------------------------------------------

# bakery_watchdog waits for the timeout and then stops the running step, or fails the bake when cloud-init itself hangs.
# When that does not end the bake, it cuts the power.
bakery_watchdog() {
	bakery_load_env
	while read -r bakery_word bakery_s; do
		[ "$bakery_word" != elapsed ] || BAKERY_TIMEOUT=$((BAKERY_TIMEOUT - bakery_s))
	done <"$bakery_dir/progress"
	[ "$BAKERY_TIMEOUT" -gt 0 ] || BAKERY_TIMEOUT=1
	bakery_start_streaming
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
setup) bakery_setup ;;
run) bakery_main ;;
watchdog) bakery_watchdog ;;
commands) bakery_commands "$2" "$3" ;;
script) "$bakery_dir/steps/$2" ;;
download) bakery_download "$2" ;;
extract) bakery_extract "$2" ;;
replay) bakery_replay "$2" ;;
install) cd / && "$bakery_dir/install.sh" ;;
esac
exit
