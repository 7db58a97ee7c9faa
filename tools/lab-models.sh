#!/bin/sh
# Copyright (c) The packer-plugin-bakery authors
# SPDX-License-Identifier: MPL-2.0
#
# lab-models.sh [--update] - prints what differs between what the lab accepts and the service models of each botocore on
# this computer (awscli's, and that of the Debian package python3-botocore; BOTOCORE_DATA names the folder of another
# one): required parameters, values, lengths, patterns and unknown parameters of every action that the lab serves.
# Differences that are accepted, each with its reason, stand in internal/lab/models_test.go. Exit code 1 when there are
# others. With --update, it first writes the tables of internal/lab/model anew, of the newest botocore. Do that after
# adding an action to the lab, or to raise the lab to newer parameters.
set -eu

cd "$(dirname "$0")/.."

case ${1:-} in
--update) go test -count=1 -run '^TestTablesAreThoseOfBotocore$' ./internal/lab/model -update ;;
'') ;;
*)
	echo "usage: lab-models.sh [--update]" >&2
	exit 2
	;;
esac
go test -count=1 -v -run '^TestBotocoresModels$' ./internal/lab
