#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0

# Runs every fuzz target of the repository for FUZZTIME (default 10m) each, one after another, and prints a table of them.
# A finding is kept below testdata/fuzz of its package, where every `go test` runs it from then on, and makes this fail.
#
#   FUZZTIME=30s tools/fuzz.sh            all of them, 30 seconds each
#   tools/fuzz.sh ./internal/guest/...    those of some packages
#
# FUZZPARALLEL says how many processes each target may have; FUZZMATCH (a regular expression) which targets to run.
set -eu
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- ./...
time=${FUZZTIME:-10m}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
table=$out/table
: >"$table"
failed=

# Only packages that have a target are compiled.
packages=$(go list -f '{{$p := .}}{{range .TestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}
{{end}}{{range .XTestGoFiles}}{{$p.ImportPath}} {{$p.Dir}}/{{.}}
{{end}}' "$@" | while read -r package file; do
  [ -z "$file" ] || ! grep -q '^func Fuzz' "$file" || echo "$package"
done | sort -u)

for package in $packages; do
  for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' | grep -E "${FUZZMATCH:-.}" || true); do
    name=${package#*/packer-plugin-bakery/}/$target
    echo "$name: $time"
    began=$(date +%s)
    status=passed
    # Shrinking what is interesting takes a minute each by default, which is most of the time of a short run.
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 5s -timeout 0 \
      ${FUZZPARALLEL:+"-parallel=$FUZZPARALLEL"} "$package" >"$out/log" 2>&1 || status=FAILED
    if [ "$status" = FAILED ]; then
      failed=yes
      tail -n 60 "$out/log"
    fi
    execs=$(sed -n 's/.*execs: \([0-9]*\).*/\1/p' "$out/log" | tail -n 1)
    new=$(sed -n 's/.*new interesting: \([0-9]*\).*/\1/p' "$out/log" | tail -n 1)
    printf '%-58s %6ss %12s %8s  %s\n' "$name" "$(($(date +%s) - began))" "${execs:-?}" "${new:-?}" "$status" | tee -a "$table"
  done
done

printf '\n%-58s %7s %12s %8s\n' target time executions new
cat "$table"
[ -s "$table" ] || { echo "there is no fuzz target in $*" >&2; exit 1; }
if [ -n "$failed" ]; then
  echo "Findings are kept as seeds: commit those of git status below testdata/fuzz with their fix." >&2
  exit 1
fi
