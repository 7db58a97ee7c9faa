#!/bin/sh
echo one
echo two >&2
exit 7
