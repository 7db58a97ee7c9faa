#!/bin/sh
# shellcheck disable=SC1090,SC2034,SC2154,SC2317  # a part of bakery.sh, which sets and calls what is not seen here
#
# The live mode of the guest program: the same steps on a machine that is running already, for a person or a Packer who
# waits at the other end of a connection. internal/guest/live.go puts this file into bakery.sh, in front of its last
# lines; user data goes without it.
#
#   bakery.sh live FILE     every step, what it prints on standard output; removes FILE, and itself at the end
#   bakery.sh stop          ends another live
#
# What is different: reports and output are one stream, nobody watches the time, nothing of the image is cleaned up, the
# machine stays on, and cloud-init, which has had its boot, is asked for its modules one by one.

bakery_run=$bakery_dir/run
bakery_console=$bakery_run/output

# bakery_live FILE: a pipe of its own takes what a command prints, wherever that has sent its own output, so that reports
# and output stay in order. The machine may lose the connection at any time: then the reader ends, and so does this.
bakery_live() {
	cd / && umask 022
	bakery_session
	bakery_load
	bakery_forget "$1"
	mkfifo "$bakery_console" && exec 3<>"$bakery_console" || exit 1
	echo $$ >"$bakery_run/pid"
	trap bakery_stopped HUP INT TERM
	{
		trap '' HUP INT
		exec 3>&-
		cat "$bakery_console" &
		echo $! >"$bakery_run/reader"
		wait $!
		kill -TERM $$
	} 2>/dev/null &
	bakery_total=$(wc -l <"$bakery_dir/units" | tr -d ' ')
	bakery_report begin "$bakery_total"
	bakery_beat </dev/null >/dev/null 2>&1 3>&- &
	bakery_heart=$!
	bakery_settled
	bakery_n=1
	while bakery_unit "$bakery_n"; do
		bakery_step
	done
	bakery_leave 0 verdict ok 0 bake
}

# bakery_beat repeats a report that tells nothing new: a connection that is lost is noticed only where something is
# written to it, and a step may be silent for long.
bakery_beat() {
	trap - HUP INT TERM
	while sleep 10; do
		bakery_report begin "$bakery_total"
	done
}

# bakery_session is the environment a bake has, without what a login and sudo add.
bakery_session() {
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

# bakery_forget FILE: removes what was uploaded, after overwriting all but fs.tgz, which comes last in it: what is in fs/
# is in the image anyway. Where the kernel protects files in /tmp (fs.protected_regular), root may open one of another user
# for as long as it does not ask to create it; not every dd can do without asking.
bakery_forget() {
	for bakery_f in 'nocreat,' ''; do
		dd if=/dev/zero of="$1" bs=512 count="$BAKERY_BLOCKS" "conv=$bakery_f"notrunc,fsync && break
	done 2>/dev/null
	rm -f "$1"
}

# bakery_settled: a machine that has just booted may still be busy with it, and two of cloud-init's modules at a time, or
# two of the package manager, do not go together. Ten minutes are more than the slowest boot of a base image takes.
bakery_settled() {
	if [ -e "$bakery_cloud/enabled" ] && [ ! -s "$bakery_cloud/result.json" ]; then
		bakery_report warn 'waiting for cloud-init to finish what it does at boot'
		timeout 600 cloud-init status --wait >/dev/null 2>&1
		[ "$?" != 124 ] || bakery_fail 124 cloud-init 'cloud-init did not finish its boot within 600 s'
	fi
	[ -e "$bakery_dir/modules" ] || return 0
	command -v cloud-init >/dev/null || bakery_fail 1 cloud-init 'there is no cloud-init on this machine'
	[ -e /var/lib/cloud/instance/obj.pkl ] || bakery_fail 1 cloud-init \
		'cloud-init has not run on this machine: /var/lib/cloud/instance/obj.pkl, with what it found out, is not there'
}

# bakery_child WORD... : as for a bake, with its output in the pipe. Where there is no Python, SIGINT stays ignored in what
# a step runs; where there is no setsid either, what a stopped step had begun goes on.
bakery_child() {
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

# bakery_hold: nobody would carry on after a reboot.
bakery_hold() {
	bakery_leaving || return 0
	echo 'the machine is going down, and a reboot ends the connection: only the builder bakery-userdata carries on after one' \
		>"$bakery_run/reason"
	return 1
}

# bakery_say LINE: the dot keeps blanks at the end of a report from being trimmed on the way, which its checksum counts.
bakery_say() {
	{ printf '%s.\n' "$1" >"$bakery_console"; } 2>/dev/null
	return 0
}

# --- the end --------------------------------------------------------------------------------------------------------

# bakery_fail_step CODE REASON: the step that was begun last failed, or the module of cloud-init it ran.
bakery_fail_step() {
	bakery_unit "$(bakery_at)" || bakery_name='guest program'
	[ ! -s "$bakery_run/name" ] || bakery_name=$(cat "$bakery_run/name")
	[ ! -s "$bakery_run/reason" ] || set -- "$1" "$(cat "$bakery_run/reason")"
	bakery_fail "$1" "$bakery_name" "$2"
}

bakery_fail() {
	[ -z "$3" ] || bakery_report reason "$3"
	[ "$1" != 0 ] || { bakery_leave 1 verdict fail "$1" "$2"; }
	bakery_leave "$1" verdict fail "$1" "$2"
}

# bakery_leave CODE VERDICT... : removes everything, prints the verdict and ends.
bakery_leave() {
	trap '' HUP INT TERM
	kill "$bakery_heart" 2>/dev/null
	bakery_last=$1
	shift
	bakery_compose "$@"
	bakery_reader=$(cat "$bakery_run/reader")
	cd / && bakery_wipe "$bakery_dir" >/dev/null 2>&1
	[ ! -e "$bakery_dir" ] || echo "$bakery_dir could not be removed" >&3
	printf '%s.\n' "$bakery_line" >&3
	exec 3>&-
	# What a step has left running may keep the pipe open; it has been read to here by then.
	for bakery_i in 1 2 3 4 5 6 7 8 9 10; do
		kill -0 "$bakery_reader" 2>/dev/null || break
		sleep 0.1 2>/dev/null || sleep 1
	done
	kill "$bakery_reader" 2>/dev/null
	exit "$bakery_last"
}

# bakery_stopped: nobody is at the other end any more, or wants to be.
bakery_stopped() {
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

# bakery_boothook FILE NAME: cloud-init goes on when one fails, so this does.
bakery_boothook() {
	bakery_f=/var/lib/cloud/data/instance-id
	[ ! -r "$bakery_f" ] || { INSTANCE_ID=$(cat "$bakery_f") && export INSTANCE_ID; }
	"$bakery_dir/boothooks/$1" || bakery_report warn "a boothook failed with exit status $?, which cloud-init lets pass"
}

# bakery_modules: the modules of cloud-init that the cloud-config asks for, in the order of this machine's own lists.
bakery_modules() {
	bakery_config=$bakery_dir/cloud-config.cfg
	"$(bakery_python)" "$bakery_dir/modules.py" "$bakery_config" "$bakery_dir/modules" >"$bakery_run/modules" || {
		echo 'asking cloud-init which modules it has failed' >"$bakery_run/reason"
		return 1
	}
	while read -r bakery_m bakery_key; do
		if [ "$bakery_m" = - ]; then
			bakery_report warn "$bakery_key has no effect: cloud-init on this machine has no module for it"
			continue
		fi
		bakery_module "$bakery_m" || return
	done <"$bakery_run/modules"
}

# bakery_module NAME: --file stands before the command up to 23, behind it later.
bakery_module() {
	echo "cloud-init $1"
	bakery_from=$(wc -c <"$bakery_log_file" 2>/dev/null)
	if cloud-init single --help 2>/dev/null | grep -q -e --file; then
		cloud-init single --file "$bakery_config" --name "$1" --frequency always && return 0
	else
		cloud-init --file "$bakery_config" single --name "$1" --frequency always && return 0
	fi
	printf 'cloud-init %s' "$1" | tr - _ | sed 's/_/-/' >"$bakery_run/name"
	# Its log has what went wrong, over several lines: ...Error: text, Command: ..., Exit code: ...
	tail -c "+$((${bakery_from:-0} + 1))" "$bakery_log_file" 2>/dev/null |
		sed -n '/^[A-Za-z_.]*\(Error\|Exception\)/,${/^[0-9-]* [0-9:,]* - /q;p;}' | tr '\n' ' ' >"$bakery_run/reason"
	bakery_code=$(sed -n 's/.*[Ee]xit code: *\([0-9][0-9]*\).*/\1/p' "$bakery_run/reason")
	return "${bakery_code:-1}"
}
bakery_log_file=/var/log/cloud-init.log

# bakery_unpack: bakery_extract asks GNU's tar not to read on behind the list of directories; others read to the end.
bakery_unpack() {
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
extract) bakery_unpack ;;
*) bakery_step_of_bake=1 ;;
esac || exit
[ -n "${bakery_step_of_bake:-}" ] || exit 0
