#!/bin/sh
# shellcheck disable=SC1090,SC1091,SC2317  # files that exist on the machine only; functions called from traps and files
# shellcheck disable=SC2154  # variables of report.sh
#
# The guest program: bakes the machine it runs on, reports to the console, and powers off. report.sh is put in front of
# it.
#
#   bakery.sh setup      called by a boothook before anything else: installs and starts the two services
#   bakery.sh run        bakery.service: runs every step, then prints the verdict; continues after a reboot
#   bakery.sh watchdog   bakery-watchdog.service: ends a bake that takes too long
#   bakery.sh commands, script FILE, replay DIR, download NAME, extract NAME, install
#                        one step each, every step in its own session
#
# POSIX sh. It needs only coreutils, util-linux, tar, gzip and the Python that runs cloud-init.
# Every name begins with bakery_, because the operations of provisioners are fragments of sh that call some of them.

bakery_cloud=/run/cloud-init
bakery_output=/var/log/cloud-init-output.log
bakery_mounts=/proc/mounts

# --- progress: an append-only file of "boot", "start N", "end N", "elapsed SECONDS", "reboot N", "cut STATUS REASON" --

bakery_record() {
	printf '%s\n' "$*" >>"$bakery_dir/progress"
}

# bakery_current_step prints the number of the step that began last.
bakery_current_step() {
	sed -n 's/^start //p' "$bakery_dir/progress" | tail -n 1 | grep . || echo 0
}

# bakery_read_step N: sets kind, file and name from line N of the list of steps; fails after the last line.
bakery_read_step() {
	bakery_parse_step "$(sed -n "${1}p" "$bakery_dir/units")"
}

bakery_parse_step() {
	bakery_kind=${1%% *}
	bakery_rest=${1#* }
	bakery_file=${bakery_rest%% *}
	bakery_name=${bakery_rest#* }
	[ -n "$bakery_kind" ]
}

# bakery_begin_step N, bakery_end_step N: record and report one step. A step that cannot be recorded does not begin:
# after a reboot it would run twice.
bakery_begin_step() {
	wc -c <"$bakery_dir/log" >"$bakery_run/offset"
	bakery_reserve
	bakery_record start "$1" || return 1
	bakery_report start "$1" "$bakery_name"
}

bakery_end_step() {
	bakery_record end "$1" || return 1
	bakery_warn_of_kills 'while this step ran'
	bakery_report end "$1" 0 "$bakery_name"
	bakery_wait_for_shutdown
}

# bakery_find_kills sets killed to what the kernel has killed for lack of memory since the last call, or to nothing. The
# first call sees nothing. A step may fail in many ways when one of its processes is killed, and not every SIGKILL is one
# of the kernel's.
bakery_find_kills() {
	bakery_killed='' bakery_before=''
	[ ! -s "$bakery_run/kills" ] || read -r bakery_before <"$bakery_run/kills"
	sed -n 's/^oom_kill //p' "$bakery_vmstat" >"$bakery_run/kills"
	read -r bakery_now <"$bakery_run/kills" && [ "$bakery_now" -gt "${bakery_before:-$bakery_now}" ] || return 0
	dmesg >"$bakery_run/dmesg"
	bakery_killed=$(sed -n 's/.*Killed process [^(]*(\([^)]*\)).*/\1/p' "$bakery_run/dmesg" | tail -n 1)
	bakery_killed="the kernel killed ${bakery_killed:-a process} for lack of memory"
	if tail -n 9 "$bakery_run/dmesg" | grep -q '^[^a-z]*Memory cgroup out of memory'; then
		bakery_killed="$bakery_killed, which its cgroup limits"
	else
		bakery_m=$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)
		bakery_killed="$bakery_killed: the machine has $((bakery_m / 1024)) MiB. Set a larger instance_type"
	fi
} 2>/dev/null
bakery_vmstat=/proc/vmstat

# bakery_warn_of_kills WHEN: reports what was killed although nothing has failed.
bakery_warn_of_kills() {
	bakery_find_kills
	[ -z "$bakery_killed" ] || bakery_report warn "$1, $bakery_killed"
}

# bakery_reserve allocates space after the end of the log, the progress and the reports, so that a full disk can still
# be reported. It does so again when the log has grown by half of it; each step may add 600 bytes to the other files.
bakery_reserve() {
	read -r bakery_size <"$bakery_run/offset"
	bakery_room=$((${bakery_room:-0} - 600))
	[ "$bakery_size" -ge "$bakery_room" ] || return 0
	bakery_room=$((bakery_size + 32768))
	for bakery_f in log progress reports; do
		fallocate -n -o "$(wc -c <"$bakery_dir/$bakery_f")" -l 65536 "$bakery_dir/$bakery_f"
	done >/dev/null 2>&1
	return 0
}

# bakery_wait_for_shutdown does not return when the machine is about to reboot or power off: it would cut off the next
# step. It fails when the machine's time is up first.
bakery_wait_for_shutdown() {
	while bakery_is_shutting_down; do
		[ ! -e "$bakery_run/timeout" ] || return
		sleep 1
	done
}

# bakery_is_shutting_down asks logind only where somebody delays shutdowns: else it has told systemd when it answers.
bakery_is_shutting_down() {
	[ -e /run/systemd/shutdown/scheduled ] && grep -qs '^MODE=reboot' /run/systemd/shutdown/scheduled && return 0
	[ "$(systemctl is-system-running 2>/dev/null)" != stopping ] || return 0
	for bakery_f in /run/systemd/inhibit/*[0-9]; do
		if [ ! -e "$bakery_f" ] || ! grep -qs '^WHAT=.*shutdown' "$bakery_f"; then continue; fi
		case $(busctl get-property org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager \
			PreparingForShutdown 2>/dev/null) in
		*true*) return 0 ;;
		esac
		break
	done
	return 1
}

# --- the end of a bake ----------------------------------------------------------------------------------------------

# bakery_fail CODE NAME REASON FILE OFFSET : reports the last lines, the reason and the verdict, and powers off.
bakery_fail() {
	trap '' TERM USR1
	bakery_find_kills
	[ -z "$bakery_killed" ] || set -- "$1" "$2" "${3:+$3; }$bakery_killed" "$4" "$5"
	bakery_drain
	bakery_stop_streaming
	if [ -e "$bakery_dir/log_stream.py" ]; then
		(bakery_exec_log_stream tail "$4" "$5") || bakery_report warn 'the last lines could not be sent'
	else
		bakery_report_tail "$4" "$5"
	fi
	[ -z "$3" ] || bakery_report reason "$3"
	bakery_pack_log
	bakery_verdict fail "$1" "$2"
}

# bakery_report_tail FILE OFFSET: reports the last lines where nothing encrypts them.
bakery_report_tail() {
	tail -c "+$(($2 + 1))" "$1" | tr -d '\000' | tr '\r' '\n' | grep -v '^@bakery-at ' | tail -n 40 |
		while IFS= read -r bakery_l || [ -n "$bakery_l" ]; do
			bakery_report tail "$bakery_l"
		done
} 2>/dev/null

# bakery_fail_step CODE REASON: fails the bake with the step that began last, or because the machine's time is up.
bakery_fail_step() {
	bakery_read_step "$(bakery_current_step)" || bakery_name='guest program'
	[ ! -e "$bakery_run/timeout" ] || set -- 124 "it was stopped: the machine's time, $BAKERY_TIMEOUT s, was up"
	bakery_fail "$1" "$bakery_name" "$2" "$bakery_dir/log" "$(cat "$bakery_run/offset" 2>/dev/null || echo 0)"
}

# bakery_power_off REPORT... : prints the last reports three times, because without them the bake is lost. It does not
# ask logind, whose inhibitors may delay or refuse a power-off. The shutdown stops this service, and may wait for ever
# for another one: the watchdog, which lives on, cuts the power then.
bakery_power_off() {
	: >"$bakery_run/off"
	sync
	bakery_print "$@" "$@" "$@"
	$bakery_leave # "exit" when the machine is shutting down already
	# systemd stops this service too while it shuts down; there is nothing left to do then.
	trap exit TERM
	systemctl --no-block --job-mode=replace-irreversibly start poweroff.target ||
		systemctl --no-block poweroff || poweroff
	sleep 120 &
	wait $!
	exec poweroff -f
}

# bakery_verdict WORD... : uploads the log, prints the verdict and powers off. The verdict is not printed or uploaded
# earlier, while it can still change. It is the last report: that the upload failed comes before it.
bakery_verdict() {
	bakery_compose verdict "$@"
	bakery_upload_log "$@"
	bakery_power_off ${bakery_clean_line:+"$bakery_clean_line"} "$bakery_line"
}

# bakery_upload_log WORD... : uploads the reports and, after them, the log. Nothing that a step prints comes before the
# reports. When the upload fails, it adds a warning, and composes the verdict (the words) again, so that it stays last.
bakery_upload_log() {
	[ -n "$BAKERY_LOG_URL" ] || return 0
	{
		{
			printf '%s\n' "@bakery-reports $BAKERY_ID $(wc -l <"$bakery_reports" | tr -d ' ')"
			cat "$bakery_reports"
		} | gzip
		cat "$bakery_run/log.gz"
	} >"$bakery_run/upload.gz"
	bakery_put "$BAKERY_LOG_URL" "$bakery_run/upload.gz" "$BAKERY_LOG_HEADERS" && return
	bakery_report warn 'the log could not be uploaded'
	bakery_compose verdict "$@"
} 2>/dev/null

# bakery_keep_output keeps cloud-init's output, which the clean-up removes, for bakery_pack_log.
bakery_keep_output() {
	[ -n "$BAKERY_LOG_URL" ] && cp "$bakery_output" "$bakery_run/output" && bakery_output=$bakery_run/output
}

# bakery_pack_log compresses the log for its upload, in the format of log_stream.py. It does so only once: when the
# clean-up fails late, the log on the disk is already gone.
bakery_pack_log() {
	[ -n "$BAKERY_LOG_URL" ] && [ ! -e "$bakery_run/log.gz" ] || return 0
	{
		printf '%s\n' "@bakery-lines $BAKERY_ID 0 1 1"
		cat "$bakery_output"
		printf '%s\n' "@bakery-lines $BAKERY_ID 1 1 1"
		cat "$bakery_dir/log"
	} 2>/dev/null | gzip >"$bakery_run/log.gz"
}

# --- the live log: what the steps print, sent while they run --------------------------------------------------------

# bakery_exec_log_stream WORD... : executes log_stream.py. Secrets go through its environment, not its arguments.
bakery_exec_log_stream() {
	BAKERY_CONSOLES="$bakery_console $(bakery_other_consoles)"
	export BAKERY_ID BAKERY_KEY BAKERY_LOG_URL BAKERY_LOG_HEADERS BAKERY_CONSOLES
	exec "$(bakery_python)" "$bakery_dir/log_stream.py" "$@" </dev/null
}

# bakery_start_streaming starts the live log in the background.
bakery_start_streaming() {
	[ -n "$BAKERY_LIVE" ] || return 0
	(bakery_exec_log_stream "$BAKERY_LIVE") &
	printf '%s\n' $! >"$bakery_run/log_stream.pid"
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

# bakery_check_cloud_init fails the bake for what cloud-init dropped, ignored or failed on, boothooks included.
bakery_check_cloud_init() {
	bakery_wait_for_cloud_init ||
		bakery_fail 1 cloud-init 'cloud-init did not finish: it left no result.json' "$bakery_output" 0
	# A program without a cloud-config has none of its keys, parts or modules.
	bakery_read_log_size "$bakery_dir/log_size"
	[ ! -e "$bakery_dir/cloud_init.py" ] ||
		"$(bakery_python)" "$bakery_dir/cloud_init.py" "$bakery_dir/modules" "$bakery_size" \
		>>"$bakery_dir/findings" || bakery_fail 1 cloud-init 'checking its result failed' "$bakery_output" 0
	bakery_read_findings || bakery_fail "$bakery_code" "$bakery_name" "$bakery_reason" "$bakery_output" 0
}

# bakery_read_log_size FILE: sets size to that of cloud-init's log as cksum has noted it in the file. What follows is new.
# When the log does not begin any more as it did then, it warns, and all of the log is new.
bakery_read_log_size() {
	read -r bakery_k bakery_size <"$1"
	[ "$(head -c "$bakery_size" "$bakery_log_file" | cksum)" != "$bakery_k $bakery_size" ] || return 0
	bakery_size=0
	bakery_report warn "something has cut $bakery_log_file: failures of cloud-init may be lost"
} 2>/dev/null
bakery_log_file=/var/log/cloud-init.log

# bakery_read_findings reads findings as cloud_init.py prints them. It sets code, name and reason to those of the first
# that fails the bake, and fails then. All others become warnings, also those that fail it too.
bakery_read_findings() {
	bakery_name=''
	while read -r bakery_k && read -r bakery_c && read -r bakery_f && read -r bakery_e; do
		if bakery_is_ignored "$bakery_k"; then
			bakery_report warn "$bakery_f: ${bakery_e:-it failed with exit status $bakery_c}"
		elif [ -n "$bakery_name" ]; then
			bakery_report warn "this fails the bake too: $bakery_f: ${bakery_e:-exit status $bakery_c}"
		else
			bakery_code=$bakery_c bakery_name=$bakery_f bakery_reason=$bakery_e
		fi
	done <"$bakery_dir/findings"
	[ -z "$bakery_name" ]
}

# bakery_is_ignored NAMES: succeeds when ignore_failures has one of the names, or there is none.
bakery_is_ignored() {
	for bakery_i in $1; do
		case " $BAKERY_IGNORE - " in *" $bakery_i "*) return 0 ;; esac
	done
	return 1
}

# bakery_run_boothooks runs the boothooks of the Image-Source, at every boot of cloud-init, as cloud-init would do now. A
# boothook that a reboot interrupts runs again after it.
bakery_run_boothooks() {
	! bakery_is_ignored bootcmd || : >/run/bakery-bootcmd.ignore
	while read -r bakery_f bakery_name; do
		printf '%s\n' "$bakery_name" >"$bakery_run/boothook"
		(cd / && unset OLDPWD && exec "$bakery_dir/boothooks/$bakery_f" <&3 3<&-) >>"$bakery_output" 2>&1
		bakery_code=$?
		[ "$bakery_code" = 0 ] || bakery_is_shutting_down ||
			printf '%s\n' boothooks "$bakery_code" "$bakery_name" '' >>"$bakery_dir/findings"
	done 3<&0 <"$bakery_dir/boothooks/names"
	rm -f "$bakery_run/boothook"
} 2>/dev/null

# --- the services ---------------------------------------------------------------------------------------------------

# bakery_setup installs and starts the services. DefaultDependencies=no: otherwise multi-user.target would wait for
# bakery.service, which waits for cloud-final.service, which on Debian and Ubuntu waits for multi-user.target.
# OOMPolicy=continue: when the kernel kills a step because memory is short, systemd would otherwise stop the service. No
# daemon-reload unless the start fails: systemd reads a new unit file without one, and a reload during boot is a risk.
# A shutdown stops bakery.service, which has to record it, but not the watchdog: that ends with the last processes.
bakery_setup() {
	umask 022
	bakery_load_env
	if [ ! -e "$bakery_dir/installed" ]; then
		bakery_merge_steps
		bakery_run_access keys before
		bakery_run_access rules before
		bakery_find_kills
		bakery_unit_states >"$bakery_dir/states"
		tail -c +1 "$bakery_log_file" | cksum >"$bakery_dir/log_size"
		bakery_after='sysinit.target basic.target network-online.target cloud-final.service cloud-init-main.service'
		bakery_service_file run "After=$bakery_after
Conflicts=shutdown.target
Before=shutdown.target" >/etc/systemd/system/bakery.service
		bakery_service_file watchdog '' >/etc/systemd/system/bakery-watchdog.service
		mkdir -p /etc/systemd/system/multi-user.target.wants
		ln -sf ../bakery.service /etc/systemd/system/multi-user.target.wants/bakery.service
		# cloud-init is about to write this file again, which would free its blocks with the user data still in them.
		# Under another name, the file stays, and the clean-up overwrites it.
		mv /var/lib/cloud/instance/obj.pkl /var/lib/cloud/instance/obj.pkl.bakery
		touch "$bakery_dir/installed"
	fi
	bakery_commit || { BAKERY_LOG_URL='' && bakery_fail 1 cloud-init "$(cat "$bakery_run/reason")" /dev/null 0; }
	# It wants the watchdog.
	systemctl --no-block start bakery.service ||
		{ systemctl daemon-reload && systemctl --no-block start bakery.service; }
	[ ! -e "$bakery_dir/runcmd.py" ] || bakery_watch_runcmd
	bakery_run_boothooks
}

# bakery_watch_runcmd starts the service that makes the first failing command of runcmd count, where cloud-init runs it.
bakery_watch_runcmd() {
	printf '%s\n' '[Unit]' DefaultDependencies=no After=cloud-config.service Before=cloud-final.service '[Service]' \
		Type=oneshot "ExecStart=$(bakery_python) $bakery_dir/runcmd.py" >/run/systemd/system/bakery-runcmd.service
	systemctl --no-block start bakery-runcmd.service
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

# bakery_hold_updates stops what changes packages by itself, until the next boot: a step would wait for its lock, or fail,
# or be cut off by its reboot. Nothing is disabled: in the image, all is as it was. What starts something is stopped, and
# what may be stopped at any time; what is installing packages is waited for (bakery_wait_for_updates).
bakery_hold_updates() {
	systemctl --no-block stop 'apt-daily*.timer' 'dnf*-*.timer' 'yum-*.timer' 'yum-cron*.service' \
		'packagekit*.timer' 'update-notifier-*.timer' 'zypper-*.timer' 'transactional-update*.timer' \
		apt-daily.service 'dnf*-makecache.service' packagekit.service unattended-upgrades.service
} >/dev/null 2>&1

bakery_wait_for_updates() {
	bakery_i=''
	while bakery_f=$(systemctl list-units --plain --no-legend --state=activating,active apt-daily-upgrade.service \
		'dnf*-automatic*.service' packagekit-offline-update.service 'transactional-update*.service' 2>/dev/null) &&
		[ -n "$bakery_f" ]; do
		[ ! -e "$bakery_run/timeout" ] ||
			bakery_fail 124 "${bakery_f%% *}" "it did not end within $BAKERY_TIMEOUT s" "$bakery_dir/log" 0
		[ -n "$bakery_i" ] || bakery_report warn "waiting for ${bakery_f%% *}, which was already running"
		bakery_i=1
		sleep 1
	done
}

bakery_service_file() {
	printf '%s\n' '[Unit]' "Description=Bakery $1" DefaultDependencies=no "$2" Wants=bakery-watchdog.service \
		'[Service]' 'Environment=HOME=/root USER=root LOGNAME=root' \
		"ExecStart=/bin/sh $bakery_dir/bakery.sh $1" StandardOutput=null KillMode=mixed \
		TimeoutStopSec=120 OOMPolicy=continue Restart=always
}

# --- running the steps ----------------------------------------------------------------------------------------------

bakery_load_env() {
	BAKERY_TIMEOUT=3600 BAKERY_LOG_URL='' BAKERY_LOG_HEADERS='' BAKERY_ZERO='' BAKERY_FS_URL=''
	BAKERY_PROFILE='' BAKERY_SKIP='' BAKERY_IGNORE='' BAKERY_FS_SHA256='' BAKERY_REGION='' BAKERY_USER=root
	BAKERY_RECORDED_URL='' BAKERY_RECORDED_SHA256='' BAKERY_LIVE='' BAKERY_KEY=''
	. "$bakery_dir/env"
	[ ! -r "$bakery_dir/delivery" ] || . "$bakery_dir/delivery"
	(umask 077 && mkdir -p "$bakery_run")
	bakery_load_launch
	# Steps have the log as their output, and could read what others print in it.
	(umask 077 && touch "$bakery_dir/log" "$bakery_dir/progress")
}

# Python code that executes the program it is given in a new session, with all signals at their defaults: systemd
# ignores SIGPIPE for services, a shell ignores SIGINT and SIGQUIT for background jobs, and no shell can reset a signal
# that was ignored when it started.
bakery_detach='import os, signal, sys
for s in range(1, signal.NSIG): signal.getsignal(s) == signal.SIG_IGN and signal.signal(s, signal.SIG_DFL)
os.setsid()
os.execv(sys.argv[1], sys.argv[1:])'

# bakery_open_log starts what copies the output of the steps from a pipe to the log. No step can shorten the log, then, as
# a redirection to /dev/stderr would, and everybody can write such redirections. Background programs of a step keep the
# pipe open, so the copier runs until the end. It does not end when the disk is full: that would kill them by SIGPIPE.
bakery_open_log() {
	mkfifo -m 622 "$bakery_run/out"
	"$(bakery_python)" -c "$bakery_copier" <"$bakery_run/out" >>"$bakery_dir/log" &
	# shellcheck disable=SC2034  # for bakery_drain
	bakery_copy=$!
	exec 3>"$bakery_run/out"
}
# The name is for a step that kills every Python.
bakery_copier='import os
with open("/proc/self/comm", "w") as f: f.write("bakery-log")
d = 1
while d:
    d = os.read(0, 65536)
    try: os.write(1, d)
    except OSError: pass'

# bakery_run_step WORD... : runs this program again for a step, in a new session, with its output in the log. A signal
# ends the wait but not the step, so it waits again until the step has ended.
bakery_run_step() {
	"$(bakery_python)" -c "$bakery_detach" /bin/sh "$bakery_dir/bakery.sh" "$@" </dev/null >&3 2>&3 3>&- &
	bakery_pid=$!
	# The timeout may have come before there was a step to stop.
	[ ! -e "$bakery_run/timeout" ] || bakery_on_timeout
	while :; do
		wait "$bakery_pid"
		bakery_code=$?
		kill -0 "$bakery_pid" 2>/dev/null || break
	done
	bakery_pid=''
	[ ! -e "$bakery_run/timeout" ] || bakery_code=124
	[ "$bakery_code" = 0 ] || bakery_fail_step "$bakery_code" "$(cat "$bakery_run/reason" 2>/dev/null)"
}

# bakery_on_timeout handles USR1, which the watchdog sends: it kills the running step.
bakery_on_timeout() {
	[ -n "${bakery_pid:-}" ] || return 0
	kill -TERM "-$bakery_pid"
	sleep 2
	kill -KILL "-$bakery_pid"
} 2>/dev/null

# bakery_on_term handles TERM, which systemd sends at shutdown, and anybody else at any time. A reboot is part of a bake,
# a power-off is not. A bake that a reboot has cut off fails after the reboot, when its last words surely arrive. The
# live log ends before the network does: systemd would wait for its upload.
bakery_on_term() {
	# The status is that of the wait, when the signal came right behind it.
	bakery_status=$?
	trap '' TERM USR1
	if systemctl list-jobs --no-legend 2>/dev/null | grep -Eq '(^| )(reboot|kexec|soft-reboot)\.target '; then
		bakery_disable_cloud_init
		bakery_n=$(bakery_current_step)
		bakery_cut=''
		[ "$bakery_n" = 0 ] || bakery_has_ended "$bakery_n" || bakery_let_end
		# It must not continue after its reboot is recorded.
		[ -z "${bakery_pid:-}" ] || kill -KILL "-$bakery_pid" 2>/dev/null
		bakery_stop_accounting
		bakery_stop_streaming
		bakery_record elapsed $(($(date +%s) - bakery_started))
		bakery_record "${bakery_cut:-reboot $bakery_n}"
		bakery_drain
		sync
		exit 0
	fi
	bakery_has_ended "$(bakery_current_step)"
	bakery_why='the machine was powered off while this step was running'
	"$(bakery_python)" "$bakery_dir/asked_reboot.py" "${bakery_pid:-none}" "$bakery_text" off 2>/dev/null &&
		bakery_why='this step powered the machine off'
	[ -z "${bakery_pid:-}" ] || kill -KILL "-$bakery_pid" 2>/dev/null
	# When systemd has ended already, there is no answer, or "offline".
	case $(systemctl is-system-running) in
	[dimr]* | starting) bakery_fail_step 143 'a SIGTERM ended the bake without a shutdown' ;;
	esac
	bakery_leave='exit'
	bakery_fail_step 143 \
		"$bakery_why: a bake does so itself after its clean-up. Remove the shutdown, or set verdict = \"stop\""
}

# bakery_has_ended N: succeeds when the end of step N, or of the operation of a provisioner in it, is recorded. It sets
# text to the file with what is running. A pause is there to be interrupted.
bakery_has_ended() {
	bakery_read_step "$1"
	bakery_text=$bakery_dir/steps/$bakery_file
	case $bakery_kind in
	install) bakery_text=$bakery_dir/install.sh ;;
	replay)
		bakery_has_ended_operation
		return
		;;
	esac
	grep -x "end $1" "$bakery_dir/progress"
} >/dev/null 2>&1

bakery_has_ended_operation() {
	bakery_ops=$bakery_dir/replay/$bakery_file
	bakery_op=$(cat "$bakery_ops/at")
	bakery_text=$bakery_ops/$bakery_op
	[ "$bakery_op" = "$(cat "$bakery_ops/ended")" ] || grep '^bakery_pause ' "$bakery_text"
}

# bakery_let_end waits for the end of a step that asked for the reboot, for five seconds. It sets cut to what to record
# when the step failed, or when the reboot was not its own.
bakery_let_end() {
	bakery_cut='cut 143 the machine rebooted in the middle of this step, which had not asked for it: let the step reboot'
	bakery_cut="$bakery_cut itself, or stop what does (a timer, an earlier step's job, unattended-upgrades)"
	bakery_is_running || { bakery_judge_end; return; }
	if "$(bakery_python)" "$bakery_dir/asked_reboot.py" "$bakery_pid" "$bakery_text"; then
		bakery_cut=''
		for bakery_i in 1 1 1 1 1; do
			bakery_is_running || return 0
			sleep "$bakery_i"
		done
	else
		bakery_is_running || bakery_judge_end
	fi
} 2>/dev/null

# bakery_is_running succeeds while the step runs. When it has ended, it is a zombie, or the shell has read its status.
bakery_is_running() {
	[ -n "${bakery_pid:-}" ] && grep -q '^State:.[^Z]' "/proc/$bakery_pid/status"
}

# bakery_judge_end sets cut to the failure of a step that has ended, if any. A step that has not begun has no status. The
# shell says 127 when it has told the status before.
bakery_judge_end() {
	if [ -n "${bakery_pid:-}" ] && [ -z "$bakery_code" ]; then
		wait "$bakery_pid"
		bakery_code=$?
		[ "$bakery_code" != 127 ] || bakery_code=$bakery_status
	fi
	case $bakery_code in
	'') ;;
	0) bakery_cut='' ;;
	*) bakery_cut="cut $bakery_code it failed while the machine was about to reboot" ;;
	esac
}

bakery_main() {
	bakery_load_env
	bakery_started=$(date +%s)
	# A reboot does not keep cloud-init's result from being read: it would be gone afterwards.
	trap bakery_term=1 TERM
	trap bakery_on_timeout USR1
	printf '%s\n' $$ >"$bakery_run/pid"
	rm -f "$bakery_run/reason"
	bakery_open_log
	bakery_last=$(tail -n 1 "$bakery_dir/progress")
	bakery_boot=$(grep -c '^boot' "$bakery_dir/progress")
	[ "$bakery_boot" = 0 ] || printf '%s\n' "$((bakery_boot * 1000000))" >"$bakery_run/seq"
	bakery_record boot || bakery_fail_step 1 'its progress cannot be written: is the disk full?'
	case $bakery_last in
	'')
		bakery_report begin "$(wc -l <"$bakery_dir/units" | tr -d ' ')"
		bakery_run_access keys after
		bakery_run_access rules after
		bakery_check_cloud_init
		;;
	reboot*) bakery_report boot "$((bakery_boot + 1))" ;;
	cut*)
		bakery_last=${bakery_last#cut }
		bakery_fail_step "${bakery_last%% *}" "${bakery_last#* }"
		;;
	*) bakery_fail_step 1 'the machine restarted in its middle, or its bake was killed' ;;
	esac
	trap bakery_on_term TERM
	[ -z "${bakery_term:-}" ] || bakery_on_term
	bakery_wait_for_updates
	bakery_warn_of_kills 'while cloud-init ran'
	bakery_n=$(bakery_current_step)
	bakery_has_operations_left "$bakery_n" || bakery_n=$((bakery_n + 1))
	while bakery_read_step "$bakery_n"; do
		bakery_next_step
	done
	bakery_finish
}

# bakery_disable_cloud_init keeps cloud-init from running at later boots of the bake. It would write the user data to
# the disk again, in other blocks, and leave the first copy in free blocks. The time of the file tells it from one that
# a step writes, whether before or after.
bakery_disable_cloud_init() {
	[ -e "$bakery_disabled" ] || touch -d @1 "$bakery_disabled"
}
bakery_disabled=/etc/cloud/cloud-init.disabled

# bakery_enable_cloud_init undoes bakery_disable_cloud_init.
bakery_enable_cloud_init() {
	[ "$(stat -c %Y "$bakery_disabled" 2>/dev/null)" != 1 ] || rm -f "$bakery_disabled"
}

# bakery_next_step runs step n, or the commands of one part from step n on, and sets n to the step after it.
bakery_next_step() {
	bakery_code=''
	bakery_begin_step "$bakery_n" || bakery_fail_step 1 "$bakery_unwritable"
	if [ "$bakery_kind" = command ]; then
		bakery_run_commands
	else
		bakery_run_step "$bakery_kind" "$bakery_file"
	fi
	bakery_end_step "$bakery_n" || bakery_fail_step 1 "$bakery_unwritable"
	bakery_n=$((bakery_n + 1))
}
bakery_unwritable='its progress cannot be written: is the disk full?'

# --- the commands of runcmd -----------------------------------------------------------------------------------------

# bakery_run_commands runs the commands of one part, from step n on, in one shell, and sets n to the last of them. That
# shell runs nothing of this program. What it does between two commands (bakery_between) is to wait until
# bakery_account_for, in a process of its own, has recorded the end of the one and the begin of the other.
bakery_run_commands() {
	bakery_at=$bakery_run/runcmd
	rm -rf "$bakery_at" "$bakery_at".*
	mkdir "$bakery_at"
	ln -s "$bakery_dir/steps/${bakery_file%/*}"/* "$bakery_at"
	mkfifo "$bakery_at.ended" "$bakery_at.next" || bakery_fail_step 1 'its commands could not be prepared'
	sed "1,${bakery_n}d" "$bakery_dir/units" >"$bakery_at.units"
	bakery_account_for "$bakery_n" <"$bakery_at.units" >/dev/null 2>&1 &
	bakery_accountant=$!
	bakery_write_script <"$bakery_at.units" >"$bakery_at.sh"
	bakery_run_step commands
	bakery_stop_accounting
	# A trap may have ended the shell with another status than that of the command.
	for bakery_f in "$bakery_at".failed.*; do
		[ ! -e "$bakery_f" ] || bakery_fail_step "${bakery_f##*.}" ''
	done
	# An exit in one of the commands keeps the later ones from running: their begin is not recorded. An exit in the last
	# one keeps nothing from running.
	[ "$(bakery_current_step)" = "$bakery_n" ] ||
		bakery_fail_step 0 'it ended the shell: the commands after it did not run'
	bakery_read_step "$bakery_n"
}

# bakery_stop_accounting kills bakery_account_for, which waits for ever when the shell has ended.
bakery_stop_accounting() {
	[ -n "${bakery_accountant:-}" ] || return 0
	kill -KILL "$bakery_accountant"
	wait "$bakery_accountant"
	bakery_accountant='' bakery_room=0
} 2>/dev/null

# bakery_write_script prints the script of the commands from step n on, and sets n to the last of them. The shell reads
# the whole script before it runs anything, because of the braces: no alias of a command is used in it.
bakery_write_script() {
	bakery_part=${bakery_file%/*}
	echo '{'
	while :; do
		printf ". '%s/%s'\n" "$bakery_at" "${bakery_file##*/}"
		bakery_write_check
		IFS= read -r bakery_l || break
		bakery_parse_step "$bakery_l"
		case "$bakery_kind ${bakery_file%/*}" in "command $bakery_part") ;; *) break ;; esac
		bakery_write_wait ">|'$bakery_at.ended'"
		bakery_write_wait "<'$bakery_at.next'"
		bakery_n=$((bakery_n + 1))
	done
	printf '%s\n' 'exit 0' '}'
}

# bakery_write_check prints what follows each command in the script. Nothing that a command leaves behind matters to it:
# functions, PATH, IFS, options, variables, positional parameters, the directory, redirections, limits or a trap. So it
# has only the syntax of sh and special built-ins, which no function replaces, and says all it has to say by the names of
# files. It turns -x and -v off; the next command turns them on again (bakery_prepare_command).
bakery_write_check() {
	cat <<-EOF
		{
		case \$? in 0) ;; *) __bakery_status=\$? && : >|'$bakery_at.failed.'"\$__bakery_status" ;; esac
		case \$- in *x*) : >|'$bakery_at.x' ;; esac
		case \$- in *v*) : >|'$bakery_at.v' ;; esac
		set +xv
		} >/dev/null 2>&1
		case \${__bakery_status:-0} in 0) ;; *) exit "\$__bakery_status" ;; esac
	EOF
}

# bakery_write_wait REDIRECTION: prints what opens a pipe, which waits for the other side. A signal for which a command
# has set a trap interrupts that, so there are some attempts.
bakery_write_wait() {
	printf '{ { :; } %s' "$1"
	printf ' || { :; } %s' "$1" "$1" "$1" "$1" "$1" "$1" "$1"
	echo '; } 2>/dev/null || exit'
}

# bakery_account_for N: records and reports, whenever a command of step N or later has ended, its end, and the begin of
# the next one. When that fails, it makes the next command one that ends the shell. It reads the steps after N.
bakery_account_for() {
	while : <"$bakery_at.ended"; do
		bakery_ended=1
		bakery_end_step "$1" || bakery_ended=''
		IFS= read -r bakery_l && bakery_parse_step "$bakery_l"
		set -- $(($1 + 1))
		if [ -n "$bakery_ended" ] && bakery_begin_step "$1"; then
			bakery_prepare_command
		else
			[ -e "$bakery_run/reason" ] || printf '%s\n' "$bakery_unwritable" >"$bakery_run/reason"
			bakery_replace_command '\exit 1'
		fi
		: >"$bakery_at.next"
	done
}

# bakery_prepare_command makes the next command begin with the options that bakery_between has turned off.
bakery_prepare_command() {
	bakery_options=''
	for bakery_f in x v; do
		[ ! -e "$bakery_at.$bakery_f" ] || bakery_options=$bakery_options$bakery_f
	done
	[ -z "$bakery_options" ] || bakery_replace_command "\\set -$bakery_options"
}

# bakery_replace_command LINE: puts a line in front of the next command.
bakery_replace_command() {
	rm -f "$bakery_at.x" "$bakery_at.v"
	{
		printf '%s\n' "$1"
		cat "$bakery_dir/steps/$bakery_file"
	} >"$bakery_at.new"
	mv "$bakery_at.new" "$bakery_at/${bakery_file##*/}"
}

# --- recorded provisioners ------------------------------------------------------------------------------------------

# bakery_replay DIR: runs the operations of one provisioner, in order, from the first that has not begun. After an
# operation that asked for a reboot, the next one follows, as over SSH.
bakery_replay() {
	bakery_load_env
	bakery_lookup_user || return 1
	bakery_ops=$bakery_dir/replay/$1
	bakery_done=$(cat "$bakery_ops/at" 2>/dev/null || echo 0)
	for bakery_op in "$bakery_ops"/[0-9]*; do
		[ "${bakery_op##*/}" -gt "$bakery_done" ] || continue
		printf '%s\n' "${bakery_op##*/}" >"$bakery_ops/at" || return 1
		bakery_fill_facts "$bakery_op" || return
		# A ~ in a destination means HOME.
		(HOME=$bakery_home && . "$bakery_op") || return
		bakery_end_operation || return
	done
}

# bakery_fill_facts OPERATION: puts the machine's id and address into an operation that asks for them.
bakery_fill_facts() {
	case $(head -n 1 "$1") in
	'# facts:'*) ;;
	*) return 0 ;;
	esac
	"$(bakery_python)" "$bakery_dir/facts.py" "$BAKERY_INTERFACE" "$bakery_dir/replay/blob" "$1" \
		2>"$bakery_run/reason" || { cat "$bakery_run/reason" && return 1; }
}

bakery_end_operation() {
	cp "$bakery_ops/at" "$bakery_ops/ended"
}

# bakery_has_operations_left N: succeeds when step N is a provisioner with operations that have not begun.
bakery_has_operations_left() {
	bakery_read_step "$1" && [ "$bakery_kind" = replay ] || return 1
	bakery_ops=$bakery_dir/replay/$bakery_file
	set -- "$bakery_ops"/[0-9]*
	shift $(($# - 1))
	[ "${1##*/}" -gt "$(cat "$bakery_ops/at" 2>/dev/null || echo 0)" ]
} 2>/dev/null

# bakery_lookup_user sets home, shell, umask and ids of the user that Packer would have logged in as. What a provisioner
# changes about that user has no effect on the later ones before a reboot, not even that it removes him: over SSH, all
# of them share one login.
bakery_lookup_user() {
	if [ ! -e "$bakery_run/login" ]; then
		bakery_pw=$(getent passwd "$BAKERY_USER") || {
			bakery_why="user $BAKERY_USER, who is to run the provisioners, does not exist here"
			printf '%s\n' "$bakery_why: set ssh_username or run_as" | tee "$bakery_run/reason"
			return 1
		}
		bakery_find_umask
		{
			printf '%s\n' "$bakery_pw" | cut -d : -f 6
			printf '%s\n' "$bakery_pw" | cut -d : -f 7
			printf '%s\n' "$bakery_umask $(id -u "$BAKERY_USER") $(id -g "$BAKERY_USER") $(id -G "$BAKERY_USER" |
				tr ' ' ,)"
		} >"$bakery_run/login"
	fi
	{
		IFS= read -r bakery_home
		IFS= read -r bakery_shell
		read -r bakery_umask bakery_uid bakery_gid bakery_groups
	} <"$bakery_run/login"
	: "${bakery_shell:=/bin/sh}"
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
	if [ "$BAKERY_USER" = root ]; then
		:
	elif getent passwd "$BAKERY_USER" >/dev/null; then
		set -- runuser -u "$BAKERY_USER" -- "$@"
	else # it was removed meanwhile
		set -- setpriv --reuid "$bakery_uid" --regid "$bakery_gid" --groups "$bakery_groups" -- "$@"
	fi
	(umask "$bakery_umask" && { cd "$bakery_home" || cd /; } && exec "$@")
}

# bakery_command COMMAND, bakery_try COMMAND: run a command of a provisioner. bakery_try ignores the exit status, as
# the shell provisioner does for its chmod.
bakery_command() {
	bakery_run_as_user "$bakery_shell" -c "$1"
	bakery_end_command $?
}

# bakery_accept STATUSES COMMAND: runs a command whose provisioner takes more exit statuses than 0, or any.
bakery_accept() {
	bakery_run_as_user "$bakery_shell" -c "$2"
	bakery_code=$?
	case " $1 " in
	*" $bakery_code "* | ' any ')
		[ "$bakery_code" = 0 ] || printf '%s\n' "exit status $bakery_code is accepted"
		bakery_code=0
		;;
	esac
	bakery_end_command "$bakery_code"
}

# bakery_end_command STATUS: ends a command as its exit status says.
bakery_end_command() {
	[ "$1" != 0 ] || bakery_end_operation || return
	bakery_wait_for_shutdown
	return "$1"
}

bakery_try() {
	bakery_run_as_user "$bakery_shell" -c "$1" || :
}

# bakery_pause SECONDS: waits where Packer has waited, for a reboot or for what an earlier provisioner left running.
bakery_pause() {
	sleep "$1"
	bakery_wait_for_shutdown
}

# A function for the shells that upload. Everybody on the machine can know the names before, from the user data: below a
# directory such as /tmp, what another user has made is refused, since he could change it later.
# shellcheck disable=SC2016  # for the user's shell to expand
bakery_own='own() {
p=$1 bad=
case $p in /*) ;; *) p=$PWD/$p ;; esac
while :; do
	if [ -d "$p" ] && [ -k "$p" ] && [ ! -L "$p" ]; then
		[ -n "$bad" ] || return 0
		printf "%s\\n" "$bad belongs to another user, who could change what is uploaded" >&2
		exit 1
	fi
	o=$(stat -c %u -- "$p" 2>/dev/null) && [ "$o" != 0 ] && [ "$o" != "$(id -u)" ] && bad=$p
	[ "$p" != / ] || return 0
	p=$(dirname -- "$p")
done
}
fail() {
[ "${1#./}" = "$1" ] || set -- "$PWD/${1#./}" "$2"
d=${1%/*} w=${2##*: }
case $w in
*denied) w="$w: upload to /tmp, and move it with sudo" ;;
*device) w="$w: set a larger volume_size" ;;
*)
	if [ -d "$1" ]; then w="it is a directory$slash"
	elif [ ! -e "$d/" ]; then [ -e "$d" ] && w="$d is not a directory" || w="$d does not exist: make it before, with mkdir -p"
	fi ;;
esac
printf "%s\n" "cannot write ${1%/.} on the machine: $w" >&2
exit 1
}
make() { m=$(mkdir -- "$1" 2>&1) || fail "$1" "$m"; }
wipe() { [ ! -f "$1" ] || shred -n 1 -z -- "$1"; } 2>/dev/null
slash=": end the destination with a slash to put the file into it"
'

# bakery_upload BLOB MODE DESTINATION: writes a file as the login user, as scp does: a file that exists keeps its mode.
bakery_upload() {
	# shellcheck disable=SC2016  # for the user's shell to expand
	bakery_run_as_user /bin/sh -c "$bakery_own"'own "$2"
new=
wipe "$2"
[ -e "$2" ] || { set -C && new=1; }
m=$({ cat >"$2"; } 2>&1) || fail "$2" "$m"
[ -z "$new" ] || chmod "$(printf %o $((0$1 & ~$(umask))))" "$2" || exit
own "$2"' upload "$2" "$3" <"$bakery_dir/replay/blob/$1" || return
	bakery_keep_link "$3"
}

# Python code that makes a hard link to each file of a list in a directory, which it makes. A file that cannot have one,
# because it is on another disk, is added to the list "unlinked" of the bake.
bakery_linker='import sys
sys.path[:1] = []
import os
to, files = sys.argv[1], sys.argv[2:]
if files[1:]: files = [l.split(b" ", 3)[3].rstrip(b"\n/") for l in open(files[1], "rb") if l[:2] == b"f "]
os.path.isdir(to) or os.makedirs(to)
for n, f in enumerate(files):
    f = os.path.realpath(f)
    try: os.path.isfile(f) and os.link(f, os.path.join(to, str(n)))
    except OSError:
        with open(os.path.join(to, "../../unlinked"), "ab") as u: u.write(b"!" + (f if bytes is str else os.fsencode(f)) + b"\n")
'

# bakery_keep_link FILE [LIST]: makes a hard link to an uploaded file, or to the files of a list below the directory FILE.
# When a provisioner removes its script, the link keeps the blocks, so that the clean-up can overwrite them.
bakery_keep_link() {
	(cd "$bakery_home" && { [ -z "${2:-}" ] || cd "$1"; } && exec "$(bakery_python)" -c "$bakery_linker" \
		"$bakery_dir/links/${bakery_ops##*/}.${bakery_op##*/}" "$@")
	return 0
} 2>/dev/null

# bakery_updir DESTINATION NAME LIST: writes a directory. When the destination exists, the directory goes below it, else
# it becomes the destination. Without a NAME, only its contents are written. The blob LIST has lines "d MODE ./PATH/"
# and "f MODE BLOB ./PATH/"; "d MODE ./" is the directory itself.
bakery_updir() {
	bakery_top=$(cd "$bakery_home" && [ -n "$2" ] && [ -d "$1" ] && printf '%s\n' "$1/$2" || printf '%s\n' "$1")
	# shellcheck disable=SC2016  # for the user's shell to expand
	while IFS=' ' read -r bakery_k bakery_m bakery_f; do
		if [ "$bakery_k" = d ]; then
			printf 'd %s 0 %s\n' "$bakery_m" "$bakery_f"
			continue
		fi
		bakery_b=$bakery_dir/replay/blob/${bakery_f%% *}
		printf 'f %s %s %s\n' "$bakery_m" "$(wc -c <"$bakery_b")" "${bakery_f#* }"
		cat "$bakery_b"
	done <"$bakery_dir/replay/blob/$3" | bakery_run_as_user /bin/sh -c "$bakery_own"'set -e
top=$1
if [ -n "$2" ]; then
	[ ! -d "$top" ] || top=$top/$2
	own "$top"
	if [ ! -d "$top" ]; then new=1 && make "$top"; fi
fi
own "$top"
[ -d "$top" ] || fail "$top/." ""
cd "$top"
mode() { chmod "$(printf %o $((0$1 & ~$(umask))))" "$2"; }
while IFS=" " read -r kind mode size path; do
	path=${path%/}
	case $kind in
	d)
		if [ ! -d "$path" ]; then make "$path" && late="$mode $path/
$late"; fi
		[ "$path$new" != .1 ] || late="$mode ./
$late"
		;;
	f)
		old=1
		[ -e "$path" ] || old=
		wipe "$path" || :
		m=$({ head -c "$size" >"$path"; } 2>&1) || { slash= && fail "$path" "$m"; }
		[ -n "$old" ] || mode "$mode" "$path"
		;;
	esac
done
printf %s "$late" | while IFS=" " read -r mode path; do mode "$mode" "${path%/}"; done' updir "$1" "$2" || return
	bakery_keep_link "$bakery_top" "$bakery_dir/replay/blob/$3"
}

# --- download and extract the archives ------------------------------------------------------------------------------

# bakery_get_archive URL FILE: downloads, with the credentials of the instance profile where the delivery says so.
bakery_get_archive() {
	if [ -z "$BAKERY_PROFILE" ]; then
		bakery_get "$@"
	else
		# shellcheck disable=SC2034  # for bakery_explain_transfer
		bakery_answer='its last lines say which'
		printf '%s\n' "$1" | BAKERY_REGION=$BAKERY_REGION "$(bakery_python)" "$bakery_dir/s3get.py" >"$2"
	fi
}

# bakery_download NAME: downloads an archive and compares its checksum. It makes four attempts within a quarter of a
# minute: enough for a lost connection, and not too long for a person who has mistyped the URL.
bakery_download() {
	bakery_load_env
	bakery_url=$BAKERY_FS_URL bakery_want=$BAKERY_FS_SHA256
	[ "$1" = fs ] || bakery_url=$BAKERY_RECORDED_URL bakery_want=$BAKERY_RECORDED_SHA256
	for bakery_pause in 2 4 8 0; do
		if bakery_get_archive "$bakery_url" "$bakery_dir/$1.tgz"; then
			bakery_sum=$(sha256sum <"$bakery_dir/$1.tgz")
			[ "${bakery_sum%% *}" != "$bakery_want" ] || { rm -f "$bakery_run/reason" && return 0; }
			printf '%s\n' "sha256 of $1.tgz is ${bakery_sum%% *}, expected $bakery_want" | tee "$bakery_run/reason"
		else
			bakery_explain_transfer "$bakery_url"
			cat "$bakery_run/reason"
		fi
		sleep "$bakery_pause"
	done
	return 1
}

# bakery_extract NAME: unpacks an archive over /. It has no entries for directories, because tar would replace a
# symbolic link such as /lib by the directory of the archive. Its first entry is a fragment of sh, which calls
# bakery_dir for each directory that must exist. The clean-up reads the list of files.
bakery_extract() {
	cd / || return 1
	bakery_list=$bakery_dir/fs.dirs.sh
	gzip -dc "$bakery_dir/$1.tgz" 2>/dev/null | tar -xf - --occurrence=1 -C / var/lib/bakery/fs.dirs.sh || return 1
	. "$bakery_list" || return 1
	tar -xpzvf "$bakery_dir/$1.tgz" --quoting-style=literal -C / >"$bakery_dir/$1.files" || return 1
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

# bakery_wipe PATH... : overwrites files before it removes them, because a snapshot also copies free blocks. A file with
# another hard link is only removed: what has that name is in the image.
bakery_wipe() {
	for bakery_f in "$@"; do
		[ -e "$bakery_f" ] || [ -h "$bakery_f" ] || continue
		bakery_note_wiped "$bakery_f"
		chattr -Rf -ai "$bakery_f"
		[ -h "$bakery_f" ] || find "$bakery_f" -type f -links 1 -exec shred -n 1 -z -u {} +
		bakery_remove "$bakery_f"
	done
} 2>/dev/null

# bakery_wipe_safely PATH... : bakery_wipe where users can write, who may put links there meanwhile. Without Python,
# nothing is overwritten.
bakery_wipe_safely() {
	"$(bakery_python)" "$bakery_dir/wipe.py" "$@"
	bakery_remove "$@"
}

# bakery_remove PATH... : removes files, of a PATH that ends in a slash what is below it, and warns of those that stay.
# It follows no link.
bakery_remove() {
	find "$@" -xdev ! -path '*/' ! -delete -print | while IFS= read -r bakery_l; do
		bakery_report warn "$bakery_l could not be removed"
	done
} 2>/dev/null

# bakery_note_wiped FILE: adds the directory of a file to the list for bakery_warn_of_old_blocks.
bakery_note_wiped() {
	readlink -f "${1%/*}/" >>"$bakery_run/wiped"
} 2>/dev/null

# bakery_warn_of_old_blocks warns of file systems that write to other blocks when a file is overwritten, or that have a
# copy of it in a journal, when something there had to be wiped. An upload that was removed from another disk, which the
# list marks with "!", could not be wiped at all.
bakery_warn_of_old_blocks() {
	bakery_note_wiped "$bakery_dir/"
	cat "$bakery_run/wiped" "$bakery_dir/unlinked" 2>/dev/null | sort -u | while IFS= read -r bakery_f; do
		bakery_mark=${bakery_f%%/*} bakery_f=${bakery_f#!}
		case $bakery_mark in !) [ ! -e "$bakery_f" ] || continue ;; esac
		until [ -e "$bakery_f/" ]; do
			bakery_f=${bakery_f%/*}
		done
		case $bakery_mark$(findmnt -nro FSTYPE,OPTIONS -T "$bakery_f/") in
		*tmpfs\ * | *ramfs\ *) ;;
		!* | btrfs* | zfs* | f2fs* | bcachefs* | nilfs2* | overlay* | ext[34]*data=journal* | *compress*)
			findmnt -nro TARGET,FSTYPE -T "$bakery_f/"
			;;
		esac
	done | sort -u | while read -r bakery_at bakery_type; do
		bakery_report warn "what the bake removed from $bakery_at ($bakery_type) may still be in free blocks there, and" \
			"in the snapshot: if it is secret, set wipe_free_space = true"
	done
}

# bakery_shred_removed overwrites the uploads that were removed: those that have only the links of bakery_keep_link. The
# others are in the image.
bakery_shred_removed() {
	bakery_wipe_safely "$bakery_dir/links"
} 2>/dev/null

# bakery_wipe_free_space fills the free space of every disk with zeros, and frees it again. ext4 reserves some clusters
# even from root, so they are released first. A file system that compresses gets random bytes, because zeros would take
# no space. fstrim then discards the blocks on disks that support it; EBS does not.
bakery_wipe_free_space() {
	bakery_seen=' '
	# All disks: the name of a disk in /sys may differ from its name in /proc/mounts.
	echo 0 | tee /sys/fs/ext4/*/reserved_clusters
	while read -r bakery_d bakery_m bakery_t bakery_o bakery_rest; do
		bakery_from=/dev/zero
		case "$bakery_t ,$bakery_o," in
		zfs\ *,rw,* | bcachefs\ *,rw,* | nilfs2\ *,rw,* | *,rw,*,compress*) bakery_from=/dev/urandom ;;
		ext[234]\ *,rw,* | xfs\ *,rw,* | btrfs\ *,rw,* | f2fs\ *,rw,* | overlay\ *,rw,*) ;;
		*) continue ;;
		esac
		case "$bakery_seen" in *" $bakery_d "*) continue ;; esac
		[ -d "$bakery_m" ] || continue
		bakery_seen="$bakery_seen$bakery_d "
		# Whoever owns the disk may have put a link there.
		rm -rf "$bakery_m/.bakery-zero"
		dd if="$bakery_from" of="$bakery_m/.bakery-zero" bs=1M
		sync
		rm -f "$bakery_m/.bakery-zero"
		sync
		fstrim "$bakery_m"
	done <"$bakery_mounts"
} >/dev/null 2>&1

# bakery_wipe_content FILE... : overwrites files and puts empty ones in their places, because the programs that own them
# need them. A link is left alone: it leads to something of the user's. So is the content of a file that has another name,
# and a hole: lastlog may have a terabyte of it.
bakery_wipe_content() {
	for bakery_f in "$@"; do
		[ -f "$bakery_f" ] || continue
		[ ! -h "$bakery_f" ] || continue
		bakery_note_wiped "$bakery_f"
		bakery_k=$(lsattr -d "$bakery_f" | sed 's/ .*//;s/[^ai]//g')
		cp -a --attributes-only "$bakery_f" "$bakery_run/empty"
		bakery_wipe_safely "$bakery_f"
		mv "$bakery_run/empty" "$bakery_f"
		[ -z "$bakery_k" ] || chattr "+$bakery_k" "$bakery_f"
	done
}

# bakery_run_access KIND WORD: runs rules.py, or keys.py, which only a machine with a key pair has.
bakery_run_access() {
	[ ! -e "$bakery_dir/$1.py" ] || "$(bakery_python)" "$bakery_dir/$1.py" "$2" >>"$bakery_dir/log" 2>&1
}

# bakery_remove_made FILE... : removes network configuration that cloud-init wrote for this machine: it begins with a
# comment of cloud-init's (cloudinit/net/sysconfig.py, network_manager.py, distros/debian.py), or contains the address of
# a network card. A user's own file stays, also under such a name, and one of fs/ always.
bakery_remove_made() {
	{
		grep -h '[1-9a-f].*:..:..:..:..' /sys/class/net/*/address
		printf '%s\n' '^[#;] *\(this \(file \)*\(is\|was\) \)*\(created\|generated\) by cloud-init' \
			'^[#;] *this file is generated from information provided by' \
			'^org.freedesktop.NetworkManager.origin=cloud-init'
	} >"$bakery_run/made"
	for bakery_f in "$@"; do
		grep -qxF -e "${bakery_f#/}" "$bakery_dir/fs.files" ||
			! grep -qi -f "$bakery_run/made" "$bakery_f" || bakery_remove "$bakery_f"
	done
}

# bakery_find_cloud_init sets off to what keeps cloud-init from running in the image, or to nothing. Its own generator
# decides at each boot (systemd/cloud-init-generator): it knows cloud-init.disabled, and asks ds-identify, whose answer of
# this boot is removed.
bakery_find_cloud_init() {
	bakery_off='' bakery_g=/usr/lib/systemd/system-generators/cloud-init-generator bakery_d=$bakery_run/generator
	rm -f /run/cloud-init/.ds-identify.result
	mkdir -p "$bakery_d/1" "$bakery_d/2" "$bakery_d/3"
	bakery_unit_states >"$bakery_run/states"
	command -v cloud-init >/dev/null || bakery_off='it is removed'
	cmp -s "$bakery_run/states" "$bakery_dir/states" || ! grep -q 'disabled\|masked' "$bakery_run/states" ||
		bakery_off='its units are'
	grep -qs 'cloud-init=disabled\|ci\.di\.policy=disabled' /boot/grub*/grub* \
		/boot/loader/entries/*.conf /boot/efi/EFI/*/grub.cfg /boot/extlinux/*.conf && bakery_off='the kernel command line'
	[ ! -e "$bakery_disabled" ] || bakery_off=$bakery_disabled
	[ -z "$bakery_off" ] && [ -x "$bakery_g" ] || return 0
	"$bakery_g" "$bakery_d/1" "$bakery_d/2" "$bakery_d/3" </dev/null >/dev/null 2>&1
	[ -h "$bakery_d/2/multi-user.target.wants/cloud-init.target" ] || bakery_off='no data source'
}

# bakery_unit_states prints whether cloud-init's units are enabled. Not every version has all of them.
bakery_unit_states() {
	systemctl is-enabled cloud-init-local.service cloud-init.service cloud-init-network.service cloud-init-main.service
} 2>/dev/null

# bakery_replace_cloud_init makes the image do what cloud-init will not do at its first boot: host keys. What cloud-init
# has made, and would make again, stays: the sudo rule of its default user, and the network configuration. RHEL and
# Amazon Linux make host keys by themselves when cloud-init is off.
bakery_replace_cloud_init() {
	if ! bakery_is_skipped ssh_files && [ -x /usr/sbin/sshd ] && [ ! -e /usr/sbin/sshd-keygen ] &&
		[ ! -e /usr/libexec/openssh/sshd-keygen ]; then
		printf '%s\n' '[Unit]' 'Description=SSH host keys' \
			'ConditionPathExistsGlob=!/etc/ssh/ssh_host_*_key' 'Before=ssh.service sshd.service' '[Service]' \
			Type=oneshot 'ExecStart=/usr/bin/ssh-keygen -A' >/etc/systemd/system/ssh-host-keys.service
		mkdir -p /etc/systemd/system/multi-user.target.wants
		ln -sf ../ssh-host-keys.service /etc/systemd/system/multi-user.target.wants/ssh-host-keys.service
	fi
	bakery_report warn "cloud-init is off in the image ($bakery_off): its sudo rule and network configuration stay"
}

# bakery_clean_SECTION: one for each section of the clean-up. The table Cleaned of internal/imagesource has the same
# paths, and a test compares them.

# journald is moved to memory first, because it writes once more at shutdown.
bakery_clean_instance_log_files() {
	mkdir -p /run/systemd/journald.conf.d
	printf '[Journal]\nStorage=volatile\n' >/run/systemd/journald.conf.d/99-bakery.conf
	systemctl restart systemd-journald
	bakery_wipe /var/log/journal/*
	bakery_wipe_content /var/log/syslog /var/log/messages /var/log/secure /var/log/*.log /var/log/dmesg* /var/log/cron \
		/var/log/wtmp /var/log/btmp /var/log/lastlog /var/log/audit/*.log
	bakery_remove /var/log/sa/sa*
}

bakery_clean_ssh_files() {
	bakery_wipe /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
	bakery_run_access keys clean || : >"$bakery_run/unclean"
}

bakery_clean_instance_files() {
	: >/etc/machine-id
	if [ -e /var/lib/dbus/machine-id ] && [ ! -h /var/lib/dbus/machine-id ] && [ ! -h /etc/machine-id ]; then
		rm -f /var/lib/dbus/machine-id
		ln -s /etc/machine-id /var/lib/dbus/machine-id
	fi
	# A stopped service does not save a seed again at shutdown.
	systemctl stop systemd-random-seed.service
	bakery_wipe /var/lib/systemd/random-seed /var/lib/systemd/credential.secret
	bakery_remove /etc/.updated /var/.updated
}

bakery_clean_network_files() {
	[ -n "$bakery_off" ] || bakery_remove_made /etc/network/interfaces.d/50-cloud-init* /etc/netplan/50-cloud-init.yaml \
		/etc/udev/rules.d/70-persistent-net.rules /etc/udev/rules.d/85-persistent-net-cloud-init.rules \
		/etc/systemd/network/10-cloud-init-* /etc/NetworkManager/system-connections/cloud-init-* \
		/etc/NetworkManager/conf.d/*-cloud-init*.conf /etc/sysconfig/network-scripts/ifcfg-* \
		/etc/sysconfig/network-scripts/route-* /etc/sysconfig/network-scripts/route6-* \
		/etc/sysconfig/network/ifcfg-* /etc/sysconfig/network/ifroute-*
	bakery_remove /run/NetworkManager/system-connections/cloud-init-* /var/lib/dhcp/dhclient* /var/lib/dhclient/* \
		/var/lib/NetworkManager/*.lease /var/lib/NetworkManager/secret_key \
		/var/lib/NetworkManager/no-auto-default.state /var/lib/NetworkManager/timestamps \
		/var/lib/NetworkManager/seen-bssids /var/lib/dhcpcd*/*.lease* /var/lib/dhcpcd*/duid \
		/var/lib/dhcpcd*/secret /var/db/dhcpcd/* /etc/dhcpcd.duid /etc/dhcpcd.secret /var/lib/wicked/*.xml \
		/var/lib/systemd/network/*
}

bakery_clean_ssm_log_files() {
	bakery_wipe /var/log/amazon/ssm/*
}

bakery_clean_package_caches() {
	bakery_remove /var/cache/apt/archives/*.deb /var/cache/apt/*.bin /var/cache/dnf/* /var/cache/yum/*
}

bakery_clean_shell_history() {
	timeout 20 getent passwd | cut -d : -f 6 | sort -u | while IFS= read -r bakery_home; do
		bakery_wipe_safely "$bakery_home"/.*_history
	done
}

# A file with another hard link is only removed: it is in the image, or bakery_shred_removed overwrites it. What a step
# has mounted there is not a temporary file.
bakery_clean_temporary_files() {
	bakery_unmount '(/var)?/tmp/,!d'
	for bakery_d in /tmp/ /var/tmp/; do
		[ -z "$(find "$bakery_d" -xdev -type f -links 1 | head -n 1)" ] || bakery_note_wiped "$bakery_d"
	done
	bakery_wipe_safely /tmp/ /var/tmp/
}

bakery_clean_cloudinit_files() {
	bakery_wipe /var/lib/cloud/instances /var/lib/cloud/instance /var/lib/cloud/data /var/lib/cloud/sem
	bakery_wipe /var/log/cloud-init*.log
	[ -n "$bakery_off" ] || bakery_run_access rules clean || : >"$bakery_run/unclean"
}

# bakery_clean runs every section of the clean-up that is not skipped.
bakery_clean() {
	for bakery_section in instance_log_files ssh_files instance_files network_files ssm_log_files package_caches \
		shell_history temporary_files cloudinit_files; do
		bakery_is_skipped "$bakery_section" || "bakery_clean_$bakery_section"
	done
	# The guest program and its keys are in what cloud-init keeps of the user data.
	! bakery_is_skipped cloudinit_files || bakery_wipe_user_data
} >/dev/null 2>&1

bakery_wipe_user_data() {
	bakery_wipe /var/lib/cloud/instances/*/user-data.txt* /var/lib/cloud/instances/*/obj.pkl* \
		/var/lib/cloud/instances/*/boothooks/bakery*
}

# bakery_hidden cleans what mounts hide, in a mount namespace of its own, without these mounts. bakery.sh needs
# those that it leaves.
bakery_hidden() {
	mount --make-rprivate / || return
	[ -z "$(bakery_unmount '/((var(/lib)?)? |proc|sys|dev|run|usr|boot),d')" ] ||
		{ bakery_load_env && bakery_clean; bakery_is_clean; }
}

# bakery_unmount RULE: unmounts what a rule for sed leaves of the mounts, the last first, and prints a line for each.
bakery_unmount() {
	sed -E "\\,^[^ ]* $1;s,^[^ ]* ([^ ]*).*,\1," "$bakery_mounts" | tac | while read -r bakery_m; do
		umount -l "$(printf %b "$bakery_m")" && echo 1
	done
}

# bakery_is_clean checks that what must not be in an image is gone.
bakery_is_clean() {
	bakery_is_skipped cloudinit_files ||
		{ [ ! -e /var/lib/cloud/instances ] && [ ! -e /var/lib/cloud/data ]; } || return 1
	bakery_is_skipped instance_files || [ ! -s /etc/machine-id ] || return 1
	bakery_is_skipped ssh_files || [ -z "$(ls /etc/ssh/ssh_host_*_key 2>/dev/null)" ] || return 1
	[ ! -e "$bakery_run/unclean" ]
}

# bakery_finish cleans up and prints the verdict. cloud-init has exited by now, so it does not write the removed files
# again.
bakery_finish() {
	trap '' TERM USR1
	bakery_name=clean-up
	cd /
	wc -c <"$bakery_dir/log" >"$bakery_run/offset"
	bakery_stop_streaming
	bakery_keep_output
	bakery_enable_cloud_init
	bakery_find_cloud_init
	[ -z "$bakery_off" ] || bakery_replace_cloud_init
	"$(bakery_python)" -c '' || bakery_report warn 'without Python, removed files are not overwritten: if one is' \
		'secret, set wipe_free_space = true'
	bakery_clean
	bakery_off=$bakery_off unshare -m /bin/sh "$bakery_dir/bakery.sh" hidden || : >"$bakery_run/unclean"
	bakery_is_clean ||
		bakery_fail 1 clean-up 'something that must not be in an image is still there' "$bakery_dir/log" 0
	bakery_shred_removed
	if [ -n "$BAKERY_ZERO" ]; then bakery_wipe_free_space; else bakery_warn_of_old_blocks; fi
	bakery_pack_log
	bakery_secret=$(cat "$bakery_dir/secret")
	cp "$bakery_reports" "$bakery_run/reports"
	bakery_reports=$bakery_run/reports
	rm -f /etc/systemd/system/bakery.service /etc/systemd/system/bakery-watchdog.service \
		/etc/systemd/system/multi-user.target.wants/bakery.service
	bakery_wipe "$bakery_dir"
	[ ! -e "$bakery_dir" ] || bakery_fail 1 clean-up 'the files of the bake could not be removed' /dev/null 0
	bakery_compose clean
	bakery_clean_line=$bakery_line
	bakery_verdict ok "$bakery_secret"
}

# --- watchdog -------------------------------------------------------------------------------------------------------

# bakery_watchdog waits for the timeout and then stops the running step, or fails the bake when cloud-init itself hangs.
# When that does not end the machine, or a power-off that has begun does not, it cuts the power. systemd starts it again
# when somebody has killed it: the timeout stays the same.
bakery_watchdog() {
	bakery_load_env
	if [ ! -s "$bakery_run/end" ]; then
		# Subtract what the boots before this one have taken.
		bakery_s=$(bakery_uptime)+$BAKERY_TIMEOUT$(sed -n 's/^elapsed /-/p' "$bakery_dir/progress")
		# shellcheck disable=SC2004 # a list of numbers
		printf '%s\n' $(($bakery_s)) >"$bakery_run/end"
		bakery_hold_updates
	fi
	read -r bakery_end <"$bakery_run/end"
	bakery_start_streaming
	# A step may kill every sleep there is.
	until [ -e "$bakery_run/off" ] || [ "$(bakery_uptime)" -ge "$bakery_end" ]; do
		sleep 5
	done
	touch "$bakery_run/timeout"
	[ -e "$bakery_run/off" ] || kill -USR1 "$(cat "$bakery_run/pid")" || (
		grep -q '^boot' "$bakery_dir/progress" && bakery_fail_step
		bakery_fail 124 "$(cat "$bakery_run/boothook" || echo cloud-init)" \
			"cloud-init did not finish within $BAKERY_TIMEOUT s" "$bakery_output" 0
	)
	sleep 120
	systemctl --force --force poweroff || poweroff -f || echo o >/proc/sysrq-trigger
}

case ${1:-} in
setup) bakery_setup ;;
run) bakery_main ;;
watchdog) bakery_watchdog ;;
hidden) bakery_hidden ;;
commands) exec /bin/sh "$bakery_run/runcmd.sh" ;;
script) "$bakery_dir/steps/$2" ;;
download) bakery_download "$2" ;;
extract) bakery_extract "$2" ;;
replay) bakery_replay "$2" ;;
install) cd / && "$bakery_dir/install.sh" ;;
esac
exit
