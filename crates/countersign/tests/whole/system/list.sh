#!/bin/busybox sh
# shellcheck shell=dash
# Every visit so far, one a line.
printf 'Content-Type: text/plain\r\n\r\n'
/bin/busybox cat /data/visits
