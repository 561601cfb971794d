#!/bin/busybox sh
# shellcheck shell=dash
# Where money goes, as the file says that nobody here can write; and what comes of trying.
place=/run/countersign/values
printf 'Content-Type: text/plain\r\n\r\n%s\n%s\n' "$COUNTERSIGN_SERIAL" "$(/bin/busybox cat $place/payout)"
for attempt in "echo mine > $place/payout" "/bin/busybox rm $place/payout" "echo mine > $place/other" \
  "/bin/busybox mv $place $place-mine" "/bin/busybox mount -o remount,rw $place" "/bin/busybox umount $place"; do
  if /bin/busybox sh -c "$attempt" 2> /dev/null; then echo "DONE: $attempt"; fi
done
