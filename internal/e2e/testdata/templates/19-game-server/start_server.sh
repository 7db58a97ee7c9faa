#!/bin/sh
exec ./valheim_server.x86_64 -name "$1" -port 2456
