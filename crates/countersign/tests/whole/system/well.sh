#!/bin/busybox sh
# shellcheck shell=dash
# Whether the counter can do its work.
exec /bin/busybox printf 'Content-Type: text/plain\r\n\r\nwell\n'
