# check.sh - what the verify.sh of a template looks into its image with. The test sets IMAGE to the image's id, and
# IMAGE_name for each source where a template has several.
# shellcheck shell=sh
set -eu

WORK=$(mktemp -d)
MACHINE=
leave() {
	[ -z "$MACHINE" ] || bakery-lab terminate "$MACHINE" >/dev/null
	rm -rf "$WORK"
}
trap leave EXIT

fail() {
	echo "verify: $*" >&2
	exit 1
}

# holds FILE TEXT: a file of the image has this text in it.
holds() {
	bakery-lab cat "$IMAGE" "$1" >"$WORK/file" || fail "$1 is not in the image"
	grep -qF -- "$2" "$WORK/file" || fail "$1 lacks '$2'. It is: $(cat "$WORK/file")"
}

# name FILE ID: the name of a user or group of the image.
name() {
	[ -e "$WORK/$IMAGE-$1" ] || bakery-lab cat "$IMAGE" "/etc/$1" >"$WORK/$IMAGE-$1"
	awk -F : -v id="$2" '$3 == id { print $1 }' "$WORK/$IMAGE-$1"
}

# is PATH MODE USER[:GROUP]: as ls shows it; a group of the user's name needs no word.
is() {
	bakery-lab ls "$IMAGE" "$(dirname "$1")" >"$WORK/list" || fail "$(dirname "$1") is not in the image"
	found=$(awk -v name="$(basename "$1")" '$6 == name { print $1, $2 }' "$WORK/list")
	ids=${found#* }
	found="${found% *} $(name passwd "${ids%:*}"):$(name group "${ids#*:}")"
	[ "$found" = "$2 ${3%:*}:${3#*:}" ] || fail "$1 is '$found', not '$2 $3'"
}

# links PATH TARGET: a symbolic link.
links() {
	bakery-lab ls "$IMAGE" "$(dirname "$1")" >"$WORK/list" || fail "$(dirname "$1") is not in the image"
	found=$(awk -v name="$(basename "$1")" '$6 == name { print $8 }' "$WORK/list")
	[ "$found" = "$2" ] || fail "$1 leads to '$found', not to '$2'"
}

absent() {
	! bakery-lab ls "$IMAGE" "$1" >/dev/null 2>&1 || fail "$1 is in the image"
}

# described TEXT: what EC2 says of the image, as awscli's JSON.
described() {
	# shellcheck disable=SC2154 # set by the test
	"$AWSCLI" --endpoint-url "$AWS_ENDPOINT_URL" ec2 describe-images --image-ids "$IMAGE" --output json >"$WORK/image.json"
	for text; do
		tr -s ' \n' ' ' <"$WORK/image.json" | grep -qF -- "$text" || fail "the image is not described by '$text': $(cat "$WORK/image.json")"
	done
}

# runs COMMAND: works on a machine booted from the image. Units may be a moment behind cloud-init.
runs() {
	if [ -z "$MACHINE" ]; then
		printf '#cloud-config\n{}\n' >"$WORK/user-data"
		MACHINE=$(bakery-lab boot "$IMAGE" --user-data "$WORK/user-data" --wait | grep -o 'i-[0-9a-f]*$' | tail -n 1)
	fi
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		if bakery-lab exec "$MACHINE" -- sh -c "$1" >"$WORK/out" 2>&1; then return; fi
		sleep 1
	done
	fail "on a machine of the image, '$1' fails: $(cat "$WORK/out")"
}
