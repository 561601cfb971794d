#!/bin/busybox sh
# shellcheck shell=dash
# Sends a visit on to the counter, and says which versions took it.
if kept=$(/bin/busybox wget -q -O - "http://$COUNTERSIGN_PEER_COUNTER/cgi-bin/${QUERY_STRING%%-*}?$QUERY_STRING"); then
  printf 'Content-Type: text/plain\r\n\r\n%s\n%s\n' "$COUNTERSIGN_SERIAL" "$kept"
else
  printf 'Status: 502 Bad Gateway\r\nContent-Type: text/plain\r\n\r\nthe counter does not answer\n'
fi
