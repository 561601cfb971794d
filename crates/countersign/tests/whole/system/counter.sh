#!/bin/busybox sh
# shellcheck shell=dash
# Keeps a visit on the volume, then says so.
echo "$QUERY_STRING" >> /data/visits || exit 1
printf 'Content-Type: text/plain\r\n\r\n%s\n' "$COUNTERSIGN_SERIAL"
