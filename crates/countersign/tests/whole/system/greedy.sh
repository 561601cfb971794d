#!/bin/busybox sh
# shellcheck shell=dash
# Takes more than its limits allow.
printf 'Content-Type: text/plain\r\n\r\n'
case "$QUERY_STRING" in
  hog) /bin/busybox dd if=/dev/zero of=/dev/null bs=512M count=1 2>&1 ;;
  forks) for _ in $(/bin/busybox seq 500); do /bin/busybox sleep 3 > /dev/null & done ;;
esac
