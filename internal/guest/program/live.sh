#!/bin/sh
# shellcheck disable=SC1090,SC2034,SC2154,SC2317  # a part of bakery.sh, which sets and calls what is not seen here
#
# The live mode of the guest program: runs the same steps on a machine that is already running, while Packer is
# connected to it. internal/guest/live.go inserts this file into bakery.sh, before its last lines. User data does not
# contain it.
#
#   bakery.sh live FILE     runs every step with its output on standard output; removes FILE, and itself at the end
#   bakery.sh stop          stops a running `bakery.sh live`
#
# What is different from a bake: reports and output are one stream, there is no timeout, the image is not cleaned up,
# the machine stays on, and cloud-init, whose boot is over, runs its modules one by one.

bakery_run=$bakery_dir/run
bakery_console=$bakery_run/output

# bakery_live FILE: runs every step. All output and all reports go through one pipe, so that they stay in order. When
# the machine loses the connection, the reader of the pipe ends, and then this program does.
bakery_live() {
	cd / && umask 022
	bakery_set_environment
	bakery_load_env
	bakery_wipe_payload "$1"
	mkfifo "$bakery_console" && exec 3<>"$bakery_console" || exit 1
	printf '%s\n' $$ >"$bakery_run/pid"
	trap bakery_on_stop HUP INT TERM
	{
		trap '' HUP INT
		exec 3>&-
		cat "$bakery_console" &
		printf '%s\n' $! >"$bakery_run/reader"
		wait $!
		kill -TERM $$
	} 2>/dev/null &
	bakery_commit || exit 1
	bakery_find_kills
	bakery_step_count=$(wc -l <"$bakery_dir/units" | tr -d ' ')
	bakery_report begin "$bakery_step_count"
	bakery_heartbeat </dev/null >/dev/null 2>&1 3>&- &
	bakery_heartbeat_pid=$!
	bakery_wait_for_boot
	bakery_n=1
	while bakery_read_step "$bakery_n"; do
		bakery_next_step
	done
	bakery_exit 0 verdict ok "$(cat "$bakery_dir/secret")"
}

# bakery_heartbeat repeats the first report: a lost connection is noticed only when something is written to it, and a
# step may print nothing for a long time.
bakery_heartbeat() {
	trap - HUP INT TERM
	while sleep 10; do
		bakery_report begin "$bakery_step_count"
	done
}

# bakery_set_environment sets the environment that a bake has, without the variables that a login and sudo add.
bakery_set_environment() {
	HOME=/root USER=root LOGNAME=root
	export HOME USER LOGNAME
	unset SHELL MAIL OLDPWD TERM SUDO_COMMAND SUDO_USER SUDO_UID SUDO_GID SUDO_HOME SSH_CLIENT SSH_CONNECTION SSH_TTY \
		SSH_AUTH_SOCK SSH_ORIGINAL_COMMAND XDG_SESSION_ID XDG_RUNTIME_DIR XDG_SESSION_CLASS XDG_SESSION_TYPE \
		DBUS_SESSION_BUS_ADDRESS
	for bakery_f in /sbin /usr/sbin /usr/local/sbin; do
		case :$PATH: in
		*:$bakery_f:*) ;;
		*) PATH=$bakery_f:$PATH ;;
		esac
	done
	export PATH
}

# bakery_wipe_payload FILE: overwrites and removes the uploaded file. fs.tgz, at its end, is not overwritten, because
# the contents of fs/ are in the image anyway. With fs.protected_regular, root may open another user's file in /tmp only
# without O_CREAT; not every dd has the option for that.
bakery_wipe_payload() {
	for bakery_f in 'nocreat,' ''; do
		dd if=/dev/zero of="$1" bs=512 count="$BAKERY_BLOCKS" "conv=$bakery_f"notrunc,fsync && break
	done 2>/dev/null
	rm -f "$1"
}

# bakery_wait_for_boot waits until cloud-init has finished its work of the boot: two modules of cloud-init, or two
# package managers, cannot run at the same time. Ten minutes are more than the slowest boot of a base image takes.
bakery_wait_for_boot() {
	if [ -e "$bakery_cloud/enabled" ] && [ ! -s "$bakery_cloud/result.json" ]; then
		bakery_report warn 'waiting for cloud-init to finish what it does at boot'
		timeout 600 cloud-init status --wait >/dev/null 2>&1
		[ "$?" != 124 ] || bakery_fail 124 cloud-init 'cloud-init did not finish its boot within 600 s'
	fi
	[ -e "$bakery_dir/modules" ] || return 0
	command -v cloud-init >/dev/null || bakery_fail 1 cloud-init 'there is no cloud-init on this machine'
	[ -e /var/lib/cloud/instance/obj.pkl ] || bakery_fail 1 cloud-init \
		'cloud-init has not run on this machine: its cache, /var/lib/cloud/instance/obj.pkl, is not there'
}

# bakery_run_step WORD... : as in a bake, with the output in the pipe. Without Python, SIGINT stays ignored in the
# programs of a step; without setsid too, background programs of a stopped step continue.
bakery_run_step() {
	set -- /bin/sh "$bakery_dir/bakery.sh" "$@"
	if bakery_p=$(bakery_python 2>/dev/null); then
		set -- "$bakery_p" -c "$bakery_detach" "$@"
	elif command -v setsid >/dev/null; then
		set -- setsid "$@"
	fi
	"$@" </dev/null >"$bakery_console" 2>&1 3>&- &
	bakery_pid=$!
	wait "$bakery_pid"
	bakery_code=$?
	bakery_pid=''
	[ "$bakery_code" = 0 ] || bakery_fail_step "$bakery_code" ''
}

# bakery_wait_for_shutdown fails when the machine is about to reboot: nothing would continue the steps afterwards.
bakery_wait_for_shutdown() {
	bakery_is_shutting_down || return 0
	bakery_reason='the machine shuts down, and a reboot ends the connection'
	printf '%s\n' "$bakery_reason: only the builder bakery-userdata continues after one" >"$bakery_run/reason"
	return 1
}

# bakery_print LINE: prints a report. The dot keeps spaces at its end, which are part of the checksum, from being
# trimmed on the way.
bakery_print() {
	{ printf '%s.\n' "$1" >"$bakery_console"; } 2>/dev/null
	return 0
}

# --- the end --------------------------------------------------------------------------------------------------------

# bakery_fail_step CODE REASON... : fails with the step that began last, or with the module of cloud-init that it ran.
bakery_fail_step() {
	bakery_read_step "$(bakery_current_step)" || bakery_name='guest program'
	[ ! -s "$bakery_run/name" ] || bakery_name=$(cat "$bakery_run/name")
	[ ! -s "$bakery_run/reason" ] || set -- "$1" "$(cat "$bakery_run/reason")"
	bakery_c=$1
	shift
	bakery_fail "$bakery_c" "$bakery_name" "$*"
}

bakery_fail() {
	bakery_find_kills
	[ -z "$bakery_killed" ] || set -- "$1" "$2" "${3:+$3; }$bakery_killed"
	[ -z "$3" ] || bakery_report reason "$3"
	[ "$1" != 0 ] || { bakery_exit 1 verdict fail "$1" "$2"; }
	bakery_exit "$1" verdict fail "$1" "$2"
}

# bakery_exit CODE VERDICT... : removes everything, prints the verdict and exits.
bakery_exit() {
	trap '' HUP INT TERM
	bakery_stop_accounting
	kill "$bakery_heartbeat_pid" 2>/dev/null
	wait "$bakery_heartbeat_pid" 2>/dev/null
	bakery_last=$1
	shift
	[ "$bakery_last" != 0 ] || bakery_report clean
	bakery_compose "$@"
	bakery_reader=$(cat "$bakery_run/reader")
	cd / && bakery_wipe "$bakery_dir" >/dev/null 2>&1
	[ ! -e "$bakery_dir" ] || printf '%s\n' "$bakery_dir could not be removed" >&3
	printf '%s.\n' "$bakery_line" >&3
	exec 3>&-
	# A background program of a step may keep the pipe open. The verdict has been read by then.
	for bakery_i in 1 2 3 4 5 6 7 8 9 10; do
		kill -0 "$bakery_reader" 2>/dev/null || break
		sleep 0.1 2>/dev/null || sleep 1
	done
	kill "$bakery_reader" 2>/dev/null
	exit "$bakery_last"
}

# bakery_on_stop handles HUP, INT and TERM: the connection is lost, or somebody has stopped the program.
bakery_on_stop() {
	trap '' HUP INT TERM
	[ -z "${bakery_pid:-}" ] || {
		kill -TERM "-$bakery_pid" || kill -TERM "$bakery_pid"
		sleep 1
		kill -KILL "-$bakery_pid" || kill -KILL "$bakery_pid"
	} 2>/dev/null
	bakery_fail_step 143 'it was stopped'
}

bakery_stop() {
	kill -TERM "$(cat "$bakery_run/pid")" || return 0
	for bakery_i in 1 2 3 4 5 6 7 8 9 10; do
		[ -e "$bakery_dir" ] || return 0
		sleep 1
	done
} 2>/dev/null

# --- steps of this mode ---------------------------------------------------------------------------------------------

# bakery_boothook FILE: runs a boothook.
bakery_boothook() {
	bakery_load_env
	bakery_f=/var/lib/cloud/data/instance-id
	[ ! -r "$bakery_f" ] || { INSTANCE_ID=$(cat "$bakery_f") && export INSTANCE_ID; }
	("$bakery_dir/boothooks/$1") && return
	bakery_code=$?
	bakery_is_ignored boothooks || return "$bakery_code"
	bakery_report warn "the boothook failed with exit status $bakery_code, which ignore_failures allows"
}

# bakery_modules runs the modules of cloud-init that the cloud-config needs, in the order of this machine's own lists.
bakery_modules() {
	bakery_load_env
	bakery_config=$bakery_dir/cloud-config.cfg
	rm -f /run/bakery-bootcmd*
	! bakery_is_ignored bootcmd || : >/run/bakery-bootcmd.ignore
	bakery_find "$bakery_config" "$bakery_run/modules" || return
	tail -c +1 "$bakery_log_file" 2>/dev/null | cksum >"$bakery_run/begin"
	while read -r bakery_m bakery_names; do
		bakery_run_module "$bakery_m"
		bakery_judge_module $? || return
	done <"$bakery_run/modules"
	bakery_read_log_size "$bakery_run/begin"
	bakery_find "$bakery_size" 0
}

# bakery_judge_module CODE: makes a warning of a failed module when ignore_failures has one of its keys. The commands of
# bootcmd have names of their own.
bakery_judge_module() {
	if [ -s /run/bakery-bootcmd.failed ] || [ -s /run/bakery-bootcmd ]; then
		rm -f "$bakery_run/name" "$bakery_run/reason"
		bakery_read_log_size "$bakery_run/begin"
		bakery_find "$bakery_size" "$1"
		set -- $?
		rm -f /run/bakery-bootcmd*
		return "$1"
	fi
	[ "$1" != 0 ] || return 0
	bakery_is_ignored "$bakery_names" || return "$1"
	bakery_report warn "$(cat "$bakery_run/name"): $(cat "$bakery_run/reason")"
	rm -f "$bakery_run/name" "$bakery_run/reason"
}

# bakery_find WORD... : fails for the first thing that modules.py finds.
bakery_find() {
	"$(bakery_python)" "$bakery_dir/modules.py" "$bakery_dir/modules" "$@" >"$bakery_dir/findings" || {
		echo 'asking cloud-init for its modules and its log failed' >"$bakery_run/reason"
		return 1
	}
	bakery_read_findings && return
	printf '%s\n' "$bakery_name" >"$bakery_run/name"
	printf '%s\n' "$bakery_reason" >"$bakery_run/reason"
	[ "$bakery_code" != 0 ] || bakery_code=1
	return "$bakery_code"
}

# bakery_run_module NAME: runs one module. --file goes before the command up to cloud-init 23, after it later.
bakery_run_module() {
	printf '%s\n' "cloud-init $1"
	tail -c +1 "$bakery_log_file" 2>/dev/null | cksum >"$bakery_run/from"
	if cloud-init single --help 2>/dev/null | grep -q -e --file; then
		cloud-init single --file "$bakery_config" --name "$1" --frequency always && return 0
	else
		cloud-init --file "$bakery_config" single --name "$1" --frequency always && return 0
	fi
	printf 'cloud-init %s' "$1" | tr - _ | sed 's/_/-/' >"$bakery_run/name"
	# cloud-init's log says what went wrong, over several lines: ...Error: text, Command: ..., Exit code: ...
	bakery_read_log_size "$bakery_run/from"
	tail -c "+$((bakery_size + 1))" "$bakery_log_file" 2>/dev/null |
		sed -n '/^[A-Za-z_.]*\(Error\|Exception\)/,${/^[0-9-]* [0-9:,]* - /q;p;}' | tr '\n' ' ' >"$bakery_run/reason"
	bakery_code=$(sed -n 's/.*[Ee]xit code: *\([0-9][0-9]*\).*/\1/p' "$bakery_run/reason")
	return "${bakery_code:-1}"
}

# bakery_extract_with_any_tar: bakery_extract uses an option of GNU tar to stop after the list of directories. Other
# versions of tar read to the end.
bakery_extract_with_any_tar() {
	case $(tar --version 2>/dev/null) in
	*GNU*) ;;
	*)
		tar() {
			[ "${3:-}" != --occurrence=1 ] || set -- "$1" "$2" "$4" "$5" "$6"
			command tar "$@"
		}
		;;
	esac
	bakery_extract fs
}

case ${1:-} in
live) bakery_live "$2" ;;
stop) bakery_stop ;;
boothook) bakery_boothook "$2" ;;
modules) bakery_modules ;;
extract) bakery_extract_with_any_tar ;;
*) bakery_step_of_bake=1 ;;
esac || exit
[ -n "${bakery_step_of_bake:-}" ] || exit 0
