#!/bin/sh
# shellcheck disable=SC1091,SC2034  # files that exist on the machine only; variables that the rest of the program uses
#
# Reports, and the transfers that come before anything else: the first part of bakery.sh and of fetch.sh.

# bakery_dir survives a reboot, and is removed at the end. bakery_run is tmpfs: writable when the disk is full.
bakery_dir=/var/lib/bakery
bakery_run=/run/bakery
bakery_console=/dev/console
bakery_ttys=/sys/class/tty
bakery_reports=$bakery_dir/reports

# --- reports --------------------------------------------------------------------------------------------------------

# bakery_report KIND WORD... : prints one short line with a code. It needs the code because the kernel, systemd and
# whoever can write to the console print there too.
bakery_report() {
	bakery_compose "$@"
	bakery_print "$bakery_line"
}

# bakery_compose KIND WORD... : makes a report, keeps it for the log, and marks its place between what the steps print.
# internal/guest/report.go reads it. Two sha256sum make the code: see Key.code there. Files instead of pipes save most of
# the time that a report takes, which is that of starting processes.
bakery_compose() {
	bakery_seq=0 bakery_t=$bakery_run/compose.$$
	[ ! -e "$bakery_run/seq" ] || read -r bakery_seq <"$bakery_run/seq"
	bakery_seq=$((bakery_seq + 1))
	printf '%s\n' "$bakery_seq" >"$bakery_run/seq"
	[ -n "${bakery_commitment:-}" ] || bakery_load_launch
	printf '%s\n' "$BAKERY_ID $bakery_seq $bakery_commitment $*" >"$bakery_t"
	LC_ALL=C tr -c '\040-\176' '?' <"$bakery_t" >"$bakery_t.line"
	IFS= read -r bakery_line <"$bakery_t.line"
	# The question mark stands for the line break.
	bakery_line=${bakery_line%\?}
	[ "${#bakery_line}" -le 270 ] || bakery_line=$(printf '%.270s' "$bakery_line")
	printf '%s' "$BAKERY_REPORT_KEY$bakery_line" >"$bakery_t"
	sha256sum <"$bakery_t" >"$bakery_t.sum"
	read -r bakery_sum _ <"$bakery_t.sum"
	printf '%s' "$BAKERY_REPORT_KEY$bakery_sum" >"$bakery_t"
	sha256sum <"$bakery_t" >"$bakery_t.sum"
	read -r bakery_sum _ <"$bakery_t.sum"
	bakery_line="@bakery ${bakery_sum%????????????????????????????????} ${#bakery_line} $bakery_line"
	bakery_drain
	{
		printf '%s\n' "$bakery_line" >>"$bakery_reports"
		[ ! -e "$bakery_dir/log" ] || printf '@bakery-at %s\n' "$bakery_seq $*" >>"$bakery_dir/log"
	} 2>/dev/null
	return 0
}

# bakery_drain waits until all that was printed is in the log: what copies it (bakery_open_log) sleeps only when the pipe
# is empty. It gives up after three seconds: the disk may be full, or a program may print without end.
bakery_drain() {
	for bakery_w in $(seq 30); do
		grep -q '^State:.[^SZ]' "/proc/${bakery_copy:-x}/status" || break
		sleep 0.1
	done
} 2>/dev/null

# bakery_print LINE... : prints each report on a line of its own, on every console. One that blocks is not used again.
bakery_print() {
	printf '\r\n%s\r\n' "$@" >"$bakery_console"
	for bakery_tty in $(bakery_other_consoles); do
		# shellcheck disable=SC2016 # the words of another shell
		timeout -s KILL 5 sh -c 'printf "\r\n%s\r\n" "$@" >"$0"' "$bakery_tty" "$@"
		[ $? -lt 124 ] || : >"$bakery_run/${bakery_tty##*/}.blocked"
	done </dev/null
	return 0
} 2>/dev/null

# bakery_other_consoles prints the consoles beside /dev/console, which is the last one of the kernel's list and may be a
# screen: the other ones of the list that are no screens, and the first serial port, which EC2 shows even where the
# kernel does not use it as a console. The type of a serial port that the machine does not have is 0.
bakery_other_consoles() {
	bakery_active=$(cat "$bakery_ttys/console/active")
	# shellcheck disable=SC2086 # a list of words
	for bakery_tty in $(printf '%s\n' $bakery_active ttyS0 | sort -u); do
		case $bakery_tty in tty[0-9]* | "${bakery_active##* }") continue ;; esac
		[ -e "$bakery_run/$bakery_tty.blocked" ] || [ "$(cat "$bakery_ttys/$bakery_tty/type")" = 0 ] && continue
		bakery_tty=${bakery_console%/*}/$bakery_tty
		[ ! -c "$bakery_tty" ] || printf '%s\n' "$bakery_tty"
	done
} 2>/dev/null

# bakery_load_launch sets what reports are made with. A machine that was launched without a delivery has no key.
bakery_load_launch() {
	BAKERY_ID=none BAKERY_REPORT_KEY='' BAKERY_COMMIT_URL='' BAKERY_COMMIT_HEADERS=''
	[ ! -r "$bakery_dir/launch" ] || . "$bakery_dir/launch"
	bakery_commitment=$(cat "$bakery_dir/commitment" 2>/dev/null)
}

# bakery_commit makes the machine's secret, which only root can read, and reports its hash. Every report repeats the
# hash, and only the success at the end reveals the secret: who can read the user data, and so all keys in it, still
# cannot report success. With staging, S3 must have taken the hash, which it does only once, before anything else runs.
bakery_commit() {
	if [ ! -s "$bakery_dir/commitment" ]; then
		(umask 077 && od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$bakery_dir/secret")
		[ "$(wc -c <"$bakery_dir/secret")" -eq 32 ] || return 1
		printf '%.32s' "$(sha256sum <"$bakery_dir/secret")" >"$bakery_dir/commitment"
	fi
	bakery_load_launch
	[ ! -e "$bakery_dir/committed" ] || return 0
	bakery_report commit
	[ -z "$BAKERY_COMMIT_URL" ] || bakery_put_commitment || return 1
	touch "$bakery_dir/committed"
}

# bakery_put_commitment tries for about 45 s. 412 is S3's answer when there is an object already: that of an attempt
# whose answer was lost, or that of somebody else, with whom this machine does not begin.
bakery_put_commitment() {
	printf '%s\n' "$bakery_line" >"$bakery_run/commitment"
	bakery_lost='' bakery_retries=0 bakery_since=$(bakery_uptime)
	for bakery_pause in 1 3 6 10 0; do
		bakery_put "$BAKERY_COMMIT_URL" "$bakery_run/commitment" "$BAKERY_COMMIT_HEADERS"
		case $bakery_lost$bakery_status in
		2?? | lost2?? | lost412)
			bakery_retries=1
			return 0
			;;
		412)
			echo "somebody else has put a commitment into S3, with the URL of this machine" >"$bakery_run/reason"
			return 1
			;;
		000* | 5?? | lost000* | lost5??) bakery_lost=lost ;;
		esac
		[ $(($(bakery_uptime) - bakery_since)) -lt 35 ] || break
		sleep "$bakery_pause"
	done
	bakery_explain_transfer "$BAKERY_COMMIT_URL"
	return 1
}

# bakery_explain_transfer URL: writes why S3 could not be used, and what is missing, without the URL, which is a secret.
bakery_explain_transfer() {
	bakery_host=${1#*://} bakery_proxy=${https_proxy:-${HTTPS_PROXY:-${ALL_PROXY:-}}}
	case $bakery_answer in
	*kewed* | *xpired*) bakery_why="Is its clock right? It says $(date -u +%Y-%m-%dT%H:%MZ)" ;;
	'HTTP status 403'*) bakery_why='Does a policy of the bucket, or of an endpoint, refuse it?' ;;
	'HTTP status '*) bakery_why='' ;;
	TLS* | *SSL* | *ertificate*) bakery_why="Is its clock right ($(date -u +%Y-%m-%dT%H:%MZ)), or is a proxy in between?" ;;
	'no such name'* | *resol* | *'not known'*) bakery_why='Does its VPC resolve names (enableDnsSupport)?' ;;
	*) bakery_why='Does its subnet have a way there: a NAT gateway, or an endpoint for S3?' ;;
	esac
	bakery_why="S3 gave this machine no good answer: $bakery_answer. $bakery_why${bakery_proxy:+ It uses a proxy.}"
	printf '%s\n' "$bakery_why (${bakery_host%%/*})" >"$bakery_run/reason"
}

# bakery_uptime prints the seconds since the machine has started; its clock may be set meanwhile.
bakery_uptime() {
	read -r bakery_s _ </proc/uptime
	printf '%s\n' "${bakery_s%.*}"
}

# --- transfers ------------------------------------------------------------------------------------------------------

# bakery_python prints the interpreter that runs cloud-init; on RHEL 8 it is not in PATH.
bakery_python() {
	bakery_p=$(command -v cloud-init 2>/dev/null) &&
		bakery_p=$(sed -n '1s/^#! *\([^ ]*python[^ ]*\).*/\1/p' "$bakery_p")
	for bakery_p in "$bakery_p" python3 /usr/libexec/platform-python python; do
		[ -n "$bakery_p" ] && command -v "$bakery_p" && return 0
	done
	return 1
}

# bakery_get URL FILE, bakery_put URL FILE HEADERS: download and upload. A presigned URL is a secret, so it is never an
# argument of a process. They set bakery_status to the HTTP status of S3, 000 without an answer, and bakery_answer to
# the code of S3's error, or to what kept the answer away.
bakery_get() {
	bakery_got=$2 bakery_error=0
	if command -v curl >/dev/null; then
		bakery_status=$(printf 'url = "%s"\n' "$1" | curl -sSL --connect-timeout 10 --speed-limit 1 --speed-time 60 \
			-o "$2" -w '%{http_code}' -K -) || bakery_error=$?
	elif command -v wget >/dev/null; then
		bakery_status=200
		printf '%s\n' "$1" | wget -q --tries=1 --timeout=20 -O "$2" -i - || bakery_error=wget$?
	else
		bakery_status=$(printf '%s\n' "$1" | "$(bakery_python)" -c "$bakery_request" "$2")
	fi
	bakery_read_answer
}

# bakery_put tries twice, because S3 may throttle the first request.
bakery_put() {
	bakery_got=$bakery_run/answer bakery_error=0
	if command -v curl >/dev/null; then
		bakery_status=$({
			printf 'url = "%s"\n' "$1"
			printf '%s\n' "$3" | sed -n 's/..*/header = "&"/p'
		} | curl -sS --connect-timeout 5 -m 60 -T "$2" -o "$bakery_got" -w '%{http_code}' -K - \
			--retry "${bakery_retries:-1}" --retry-max-time 20) || bakery_error=$?
	else
		bakery_status=$(printf '%s\n' "$1" "$3" | "$(bakery_python)" -c "$bakery_request" "$bakery_got" "$2")
	fi
	bakery_read_answer
} 2>/dev/null

# bakery_read_answer sets answer, and succeeds when S3 has done what it was asked.
bakery_read_answer() {
	bakery_answer="HTTP status $bakery_status"
	case $bakery_error$bakery_status in
	0000\ *) bakery_answer=${bakery_status#* } ;;
	02??) return 0 ;;
	0*) bakery_answer=$bakery_answer$(sed -n 's/.*<Code>\([A-Za-z]*\)<.*/ (\1)/p' "$bakery_got" | head -n 1) ;;
	5000 | 6000) bakery_answer='no such name' ;;
	7000) bakery_answer='no connection' ;;
	28???) bakery_answer=timeout ;;
	35??? | 60??? | wget5*) bakery_answer=TLS ;;
	wget4*) bakery_answer='network failure' ;;
	wget*) bakery_answer='HTTP error' ;;
	*) bakery_answer="curl's exit status $bakery_error" ;;
	esac
	return 1
} 2>/dev/null

# Python code that does the request whose URL and headers are on standard input. It writes the answer to a file, and
# prints its status, or 000 and the reason why there is none. With a second file, it uploads that.
bakery_request='import sys, shutil
try: from urllib.request import urlopen, Request
except ImportError: from urllib2 import urlopen, Request
r = Request(sys.stdin.readline().strip(), open(sys.argv[2], "rb").read() if sys.argv[2:] else None)
if sys.argv[2:]:
    r.get_method = lambda: "PUT"
    r.add_header("Content-Type", "")
for l in sys.stdin: l.strip() and r.add_header(*l.strip().split(": ", 1))
try:
    try: a = urlopen(r, timeout=20)
    except IOError as e:
        a = e
        if not hasattr(e, "getcode"): raise
    shutil.copyfileobj(a, open(sys.argv[1], "wb"))
    print(a.getcode())
except Exception as e: print("000 %.60s" % getattr(e, "reason", e))
'
