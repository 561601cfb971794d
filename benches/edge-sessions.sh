#!/usr/bin/env bash
# What the edge does with many connections: long sessions through a switch (none is cut before its limit, all are cut and
# listed at it), idle connections (what they take of memory), and switches under full load (no request fails).
#
#   benches/edge-sessions.sh [sessions and idle connections, 10000] [switches, 200]
#
# Clients and versions are one process, the edge another; each needs two open files a session (ulimit -n).
set -euo pipefail

number=${1:-10000} switches=${2:-200}
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
if [ "$(ulimit -n)" -lt $((2 * number + 100)) ]; then
    ulimit -n $((2 * number + 100)) || { echo "benches/edge-sessions.sh: $number sessions need $((2 * number + 100)) open files" >&2; exit 2; }
fi
cargo build --quiet --release -p edge --example edge-alone --example edge-load
programs=${CARGO_TARGET_DIR:-$root/target}/release/examples

work=$(mktemp -d)
edge=
finish() {
    if [ -n "$edge" ]; then kill "$edge" 2>/dev/null || true; fi
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# Addresses of this run alone, below the range of ephemeral ports.
host=127.$((1 + $$ / 200 % 200)).$((1 + $$ % 200)).1
for what in "sessions $number" "idle $number" "switches $switches"; do
    "$programs/edge-alone" "$work/edge.sock" 2 & edge=$!
    for _ in $(seq 100); do [ -S "$work/edge.sock" ] && break; sleep 0.1; done
    # Two words: what, and how many.
    # shellcheck disable=SC2086
    "$programs/edge-load" "$work/edge.sock" "$host:18083" "$edge" $what
    kill "$edge" || true
    wait "$edge" || true
    edge=
    rm -f "$work/edge.sock"
done
