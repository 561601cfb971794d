#!/usr/bin/env bash
# The load generator beside wrk and oha, in alternating rounds against the same server: requests a second with one thread, the
# processor time of the generator for a request, how exactly requests are sent at a rate, and what a server that stands still
# for 100 ms looks like in each.
#
#   benches/load.sh [seconds a round, 8] [rounds, 3] [connections, 64]
#
# Needs nginx, wrk, jq, GNU time and curl (apt-get install nginx-light wrk jq time curl); oha if it is there
# (cargo install --locked oha). The generator is built for it.
set -euo pipefail

seconds=${1:-8} rounds=${2:-3} connections=${3:-64}
for tool in nginx wrk jq curl cargo /usr/bin/time; do
    command -v "$tool" >/dev/null || { echo "benches/load.sh: $tool is missing: apt-get install nginx-light wrk jq time curl" >&2; exit 2; }
done
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
cargo build --quiet --release -p load --example load-run
own=${CARGO_TARGET_DIR:-$root/target}/release/examples/load-run

work=$(mktemp -d)
finish() {
    kill "$server" 2>/dev/null || true
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap finish EXIT

# An address of this run alone, below the range of ephemeral ports.
url=http://127.$((1 + $$ / 200 % 200)).$((1 + $$ % 200)).1:18080
cat >"$work/server.conf" <<CONF
daemon off; master_process off; pid $work/server.pid; error_log $work/server.log crit;
events { worker_connections 4096; }
http {
    access_log off; keepalive_requests 1000000000;
    client_body_temp_path $work/u1; proxy_temp_path $work/u2; fastcgi_temp_path $work/u3; uwsgi_temp_path $work/u4; scgi_temp_path $work/u5;
    server { listen ${url#http://}; location / { default_type text/plain; return 200 "hello"; } }
}
CONF
nginx -c "$work/server.conf" &
server=$!
for _ in $(seq 100); do curl -s -o /dev/null "$url" && break; sleep 0.05; done

scenario() { # arrivals
    printf 'connections = %s\n[[arrivals]]\n%s\nseconds = %s\n[[request]]\nname = "all"\npath = "/"\n' "$connections" "$1" "$seconds"
}
scenario 'closed = true' >"$work/closed.toml"
scenario 'rate = 2000' >"$work/rate.toml"

# The processor time of a command, in seconds, and its output in $work/out.
timed() { /usr/bin/time -o "$work/time" -f '%U %S' "$@" >"$work/out"; awk '{ print $1 + $2 }' "$work/time"; }
row() { printf '%-10s %10.0f requests/s %8.1f us of its processor a request\n' "$1" "$2" "$(awk -v c="$3" -v r="$2" -v s="$seconds" 'BEGIN { print c * 1e6 / (r * s) }')"; }

echo "# as fast as $connections connections get answers, one thread, $rounds rounds of $seconds s"
for _ in $(seq "$rounds"); do
    cpu=$(timed wrk -t1 -c"$connections" -d"${seconds}s" "$url")
    row wrk "$(awk '/Requests\/sec/ { print $2 }' "$work/out")" "$cpu"
    cpu=$(timed "$own" "$work/closed.toml" "$url")
    row own "$(jq .answered "$work/out")" "$cpu"
    if command -v oha >/dev/null; then
        cpu=$(TOKIO_WORKER_THREADS=1 timed oha --no-tui --output-format json -c "$connections" -z "${seconds}s" "$url")
        row oha "$(jq .summary.requestsPerSec "$work/out")" "$cpu"
    fi
done

echo "# 2000 a second: how late requests were sent"
for _ in $(seq "$rounds"); do
    "$own" "$work/rate.toml" "$url" | jq -r '"own: \(.answered) a second; late \(.own.late_us.p50) us at p50, \(.own.late_us.p99) at p99, \(.own.late_us.p999) at p99.9"'
done

echo "# the server stands still for 100 ms, once a second"
still() { # how often
    for _ in $(seq "$1"); do
        sleep 0.9
        kill -STOP "$server"
        sleep 0.1
        kill -CONT "$server"
    done
}
still $((seconds - 1)) & breaks=$!
"$own" "$work/rate.toml" "$url" | jq -r '"own at 2000 a second: p90 \(.all.latency_us.p90 / 1000) ms, p99 \(.all.latency_us.p99 / 1000) ms, p99.9 \(.all.latency_us.p999 / 1000) ms"'
wait "$breaks"
still $((seconds - 1)) & breaks=$!
wrk -t1 -c"$connections" -d"${seconds}s" --latency "$url" | awk '/^ +(90|99)%/ { printf "wrk: p%s %s\n", $1, $2 }'
wait "$breaks"
