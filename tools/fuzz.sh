#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# fuzz.sh [PACKAGE...] - runs every fuzz target of the repository, or of some packages, one after another. It prints a
# table, and fails when a target finds something. go test writes a finding to testdata/fuzz of the package, where it is
# a seed of every later run. Run it with `make fuzz`. Variables of the environment:
#
#   FUZZTIME      how long each target is run: 10m
#   FUZZPARALLEL  how many processes it has at once: as many as there are processors
#   FUZZMATCH     a regular expression for the targets to run: all
#   SHARD         I/N runs the I-th of N parts of the targets: 1/1
set -eu

cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- ./...
time=${FUZZTIME:-10m}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
: >"$scratch/table"
failed=''

# Only packages that have a target are compiled.
# shellcheck disable=SC2016 # a template of Go's
files='{{$p := .}}{{range .TestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}
{{end}}{{range .XTestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}
{{end}}'
packages=$(go list -f "$files" "$@" | while read -r package file; do
	[ -z "$file" ] || ! grep -q '^func Fuzz' "$file" || echo "$package"
done | sort -u)

for package in $packages; do
	go test -list '^Fuzz' "$package" | grep '^Fuzz' | grep -E -e "${FUZZMATCH:-.}" | sed "s|^|$package |"
done >"$scratch/targets"

# Every N-th target from the I-th on, for SHARD=I/N.
shard=${SHARD:-1/1}
if ! expr "$shard" : '[1-9][0-9]*/[1-9][0-9]*$' >/dev/null || [ "${shard%/*}" -gt "${shard#*/}" ]; then
	echo "fuzz.sh: SHARD=$shard is not I/N, such as 2/8" >&2
	exit 2
fi
awk -v "i=${shard%/*}" -v "n=${shard#*/}" '(NR - i) % n == 0' "$scratch/targets" >"$scratch/shard"

while read -r package target <&3; do
	name=${package#*/packer-plugin-bakery/}/$target
	echo "$name..."
	began=$(date +%s)
	outcome=passed
	# Making an interesting input smaller may take a minute by default, and is most of a run then.
	go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 1s -timeout 0 \
		${FUZZPARALLEL:+"-parallel=$FUZZPARALLEL"} "$package" >"$scratch/log" 2>&1 || outcome=FAILED
	if [ "$outcome" = FAILED ]; then
		failed=yes
		tail -n 60 "$scratch/log"
	fi
	executions=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$scratch/log" | tail -n 1)
	inputs=$(sed -n 's/.*(total: \([0-9]*\)).*/\1/p' "$scratch/log" | tail -n 1)
	seconds=$(($(date +%s) - began))
	printf '%-50s %6s s %12s %8s  %s\n' "$name" "$seconds" "${executions:--}" "${inputs:--}" "$outcome" |
		tee -a "$scratch/table"
done 3<"$scratch/shard"

[ -s "$scratch/table" ] || { echo "there is no fuzz target in $* of shard $shard" >&2 && exit 1; }
printf '\n%-50s %8s %12s %8s\n' target time executions inputs
cat "$scratch/table"
[ -z "$failed" ] || { echo "a target failed: fix the bug, and commit the new files below testdata/fuzz" >&2 && exit 1; }
