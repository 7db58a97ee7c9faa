#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# fuzz.sh [PACKAGE...] - runs every fuzz target of the repository, or of some packages, one after another. It prints a
# table, and fails when a target finds something. go test writes a finding to testdata/fuzz of the package, where it is
# a seed of every later run. Run it with `make fuzz`. Variables of the environment:
#
#   FUZZTIME      how long each target runs, default 10m
#   FUZZPARALLEL  how many processes it runs at once, default the number of processors
#   FUZZMATCH     a regular expression for the targets to run, default all
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
	targets=$(go test -list '^Fuzz' "$package" | grep '^Fuzz' | grep -E -e "${FUZZMATCH:-.}" || true)
	for target in $targets; do
		name=${package#*/packer-plugin-bakery/}/$target
		echo "$name..."
		began=$(date +%s)
		outcome=passed
		# By default, minimizing an input may take a minute, which would be most of the time.
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
	done
done

[ -s "$scratch/table" ] || { echo "there is no fuzz target in $*" >&2 && exit 1; }
printf '\n%-50s %8s %12s %8s\n' target time executions inputs
cat "$scratch/table"
[ -z "$failed" ] || { echo "a target failed: fix the bug, and commit the new files below testdata/fuzz" >&2 && exit 1; }
